"""Files are put aside whole, and replaced so that a crash loses neither the old nor the new."""

import os
from pathlib import Path

import pytest

from agentbridged.store import files
from agentbridged.store.files import found_aside, put_aside


def test_all_files_of_a_database_move_together_and_never_onto_another(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    kept = []
    for _ in range(3):
        path.write_text("damaged", encoding="utf-8")
        Path(f"{path}-wal").write_text("its log", encoding="utf-8")
        aside = put_aside(path, "damaged")
        assert aside is not None
        assert Path(f"{aside}-wal").read_text(encoding="utf-8") == "its log"
        kept.append(aside)
    assert len(set(kept)) == 3
    assert found_aside(path) == sorted(kept)
    assert put_aside(path, "damaged") is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may rename in any directory")
def test_what_cannot_be_renamed_stays_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_text("damaged", encoding="utf-8")
    tmp_path.chmod(0o500)
    try:
        assert put_aside(path, "damaged") is None
        assert path.exists()
    finally:
        tmp_path.chmod(0o700)


def replacement(path: Path, text: str = "new") -> None:
    files.partial(path).write_text(text, encoding="utf-8")


def test_a_replacement_takes_the_place_of_what_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_text("old", encoding="utf-8")
    Path(f"{path}-wal").write_text("old log", encoding="utf-8")
    replacement(path)
    aside = files.replace(path, "damaged")
    assert aside is not None
    assert aside.read_text(encoding="utf-8") == "old"
    assert path.read_text(encoding="utf-8") == "new"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.db", aside.name, f"{aside.name}-wal"]


def test_what_cannot_be_moved_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.db"
    path.write_text("old", encoding="utf-8")
    replacement(path)
    monkeypatch.setattr(files, "put_aside", lambda path, why: None)
    with pytest.raises(OSError, match="cannot be moved"):
        files.replace(path, "damaged")
    assert path.read_text(encoding="utf-8") == "old"


@pytest.mark.parametrize("log_left", [False, True])
def test_a_replacement_that_a_crash_interrupted_is_finished(tmp_path: Path, log_left: bool) -> None:
    path = tmp_path / "a.db"
    Path(f"{path}.new").write_text("new", encoding="utf-8")
    if log_left:
        Path(f"{path}-wal").write_text("the old one's log", encoding="utf-8")
    files.settle(path)
    assert path.read_text(encoding="utf-8") == "new"
    assert not Path(f"{path}-wal").exists()
    assert len(list(tmp_path.glob("*.stray-*-wal"))) == log_left


def test_a_replacement_that_came_to_nothing_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_text("old", encoding="utf-8")
    Path(f"{path}.new").write_text("new", encoding="utf-8")
    files.settle(path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.db"]
