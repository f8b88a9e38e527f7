from pathlib import Path

import pytest

from agentbridged.children.liveness import Identity
from agentbridged.children.record import Record, load, save


def test_a_record_is_read_as_it_was_written_and_only_by_us(tmp_path: Path) -> None:
    path = tmp_path / "proxy.child.json"
    written = Record(pid=42, create_time=1.5, generation=3, argv0="/bin/x")
    save(path, written)
    assert load(path) == written
    assert written.identity == Identity(42, 1.5)
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_child_that_ended_is_nobody_but_its_generation_stays(tmp_path: Path) -> None:
    save(tmp_path / "r", Record(generation=7))
    assert (load(tmp_path / "r").identity, load(tmp_path / "r").generation) == (None, 7)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"pid":"x"}', b"\xff"])
def test_a_damaged_record_reads_as_none(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "r").write_bytes(text)
    assert load(tmp_path / "r") == Record()


def test_a_missing_record_reads_as_none_and_an_unwritable_one_is_told(tmp_path: Path) -> None:
    assert load(tmp_path / "none" / "r") == Record()
    with pytest.raises(FileNotFoundError):
        save(tmp_path / "none" / "r", Record())
