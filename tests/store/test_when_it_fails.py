"""What the store does when its disk, its file or another program lets it down."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agentbridged.errors import StoreUnavailable
from agentbridged.store import Store
from tests.store.clock import Clock
from tests.store.disk import fill, needs_a_disk, small_disk
from tests.store.traffic import (
    after_a_restart,
    ask,
    hear,
    keep_asking,
    killed_and_asked,
    still_there,
    texts,
)

NOBODY = 65534


@contextmanager
def locked(path: Path) -> Iterator[None]:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.close()


@pytest.fixture
def impatient(store: Store) -> Store:
    store._db.execute("PRAGMA busy_timeout = 10")
    return store


# A lock of another program


def test_a_locked_database_is_read_and_refuses_what_it_cannot_keep(impatient: Store) -> None:
    store = impatient
    before = ask(store, "before")
    with locked(store.path):
        with pytest.raises(StoreUnavailable, match="another program holds a lock"):
            ask(store)
        assert store.health.state == "refusing"
        with pytest.raises(StoreUnavailable):
            store.advance([before.id], "written")
        with pytest.raises(StoreUnavailable):
            store.set_thread("a-1", "t", "moved on")
        killed_and_asked(store)
        still_there(store)
        assert not store.recheck()
        assert texts(store) == ["before"]
    ask(store, "after")
    assert store.health.ok
    assert store.health.mends == 1
    again = after_a_restart(store)
    still_there(again)
    assert texts(again) == ["before", "after"]
    assert [row.state for row in again.history("a-1")] == ["accepted", "accepted"]
    again.close()


def test_a_recheck_brings_it_back_without_any_write(impatient: Store) -> None:
    with locked(impatient.path):
        with pytest.raises(StoreUnavailable):
            ask(impatient)
        impatient.set_bridge_state("a-1", "paused", by="anna")
    assert impatient.recheck()
    again = after_a_restart(impatient)
    assert again.bridges()[0].state == "paused"
    again.close()


def test_a_block_that_cannot_be_kept_is_taken_back_whole(impatient: Store) -> None:
    with locked(impatient.path), pytest.raises(StoreUnavailable), impatient.transaction():
        impatient.set_bridge_state("a-1", "killed", by="me")
    assert impatient.bridges()[0].state == "active"


def test_a_database_that_is_locked_at_the_start_is_read_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    Store(path).close()
    with locked(path):
        store = Store(path)
        assert store.health.ok
        store._db.execute("PRAGMA busy_timeout = 10")
        store.ensure_bridge("a-1", "/a")
        assert store.health.state == "refusing"
    assert store.recheck()
    ask(store)
    store.close()


# A full disk


@needs_a_disk
@pytest.mark.realtime
def test_a_full_disk_loses_nothing_and_says_so(tmp_path: Path, clock: Clock) -> None:
    with small_disk(tmp_path / "disk") as disk:
        store = Store(disk / "a.db", clock)
        store.ensure_bridge("a-1", "/a")
        acknowledged = [ask(store, "first").text]
        ballast = fill(disk)
        with pytest.raises(StoreUnavailable, match="is full; free some space"):
            keep_asking(store, acknowledged)
        assert texts(store) == acknowledged
        killed_and_asked(store)
        with pytest.raises(StoreUnavailable):
            hear(store, "said meanwhile")
        assert not store.recheck()
        ballast.unlink()
        assert store.recheck()
        hear(store, "said meanwhile")
        again = after_a_restart(store)
        still_there(again)
        assert texts(again) == [*acknowledged, "said meanwhile"]
        again.close()


@needs_a_disk
@pytest.mark.realtime
@pytest.mark.parametrize("leave", [0, 8192, 40_000])
def test_a_disk_that_is_full_at_the_start_is_worked_around(tmp_path: Path, leave: int) -> None:
    with small_disk(tmp_path / "disk") as disk:
        store = Store(disk / "a.db")
        store.ensure_bridge("a-1", "/a")
        ask(store, "before")
        store.set_bridge_state("a-1", "killed", by="anna")
        store.close()
        ballast = fill(disk, leave=leave)
        store = Store(disk / "a.db")
        assert [bridge.state for bridge in store.bridges()] == ["killed"]
        with pytest.raises(StoreUnavailable, match="is full"):
            keep_asking(store, [])
        ballast.unlink()
        assert store.recheck()
        assert "before" in texts(store)
        ask(store, "after")
        store.close()


def test_what_fills_up_in_the_middle_of_a_block_is_taken_back(store: Store) -> None:
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreUnavailable, match="full"), store.transaction():
        keep_asking(store, [])
    assert texts(store) == []
    store._db.execute("PRAGMA max_page_count = 1000000")
    assert ask(store).seq == 1


# A file that goes away


@pytest.mark.parametrize("with_its_directory", [False, True])
def test_a_file_that_vanishes_is_written_anew_before_anything_is_acknowledged(
    tmp_path: Path, with_its_directory: bool
) -> None:
    path = tmp_path / "state" / "a.db"
    path.parent.mkdir()
    store = Store(path)
    store.ensure_bridge("a-1", "/a")
    before = ask(store, "before")
    if with_its_directory:
        shutil.rmtree(path.parent)
    else:
        path.unlink()
    ask(store, "after")
    assert store.health.ok
    assert path.stat().st_mode & 0o777 == 0o600
    again = after_a_restart(store)
    assert texts(again) == ["before", "after"]
    assert again.message(before.id) == before
    again.close()


def test_what_took_the_files_place_is_kept_and_not_overwritten(store: Store) -> None:
    ask(store, "before")
    os.replace(store.path, f"{store.path}.moved")
    store.path.write_text("somebody's letter", encoding="utf-8")
    ask(store, "after")
    (stray,) = [p for p in store.path.parent.glob("*.stray-*") if p.suffix[-4:] != "-shm"][:1]
    letters = [p for p in store.path.parent.glob("*.stray-*") if p.read_bytes()[:8] == b"somebody"]
    assert letters, stray
    again = after_a_restart(store)
    assert texts(again) == ["before", "after"]
    again.close()


def test_where_it_cannot_be_written_anew_it_is_read_and_refuses(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(store, "before")
    store.path.unlink()
    elsewhere = store.path
    monkeypatch.setattr(store, "path", elsewhere.parent / "a.db" / "no" / "directory")
    (elsewhere.parent / "a.db").write_text("in the way", encoding="utf-8")
    with pytest.raises(StoreUnavailable, match="cannot be written"):
        ask(store)
    assert texts(store) == ["before"]
    monkeypatch.setattr(store, "path", elsewhere)
    assert store.recheck()
    ask(store, "after")
    again = after_a_restart(store)
    assert texts(again) == ["before", "after"]
    again.close()


# A file that may only be read


@contextmanager
def without_privileges() -> Iterator[Path]:
    """Give a directory of a user whom permissions bind, and be that user."""
    directory = Path(tempfile.mkdtemp(prefix="abt-", dir="/tmp"))
    root = os.geteuid() == 0
    if root:
        os.chown(directory, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    try:
        yield directory
    finally:
        if root:
            os.seteuid(0)
        shutil.rmtree(directory)


@pytest.mark.parametrize("what", ["file", "directory"])
def test_what_is_read_only_is_worked_around(what: str) -> None:
    with without_privileges() as directory:
        store = Store(directory / "a.db")
        store.ensure_bridge("a-1", "/a")
        ask(store, "before")
        store.set_bridge_state("a-1", "paused", by="anna")
        store.close()
        place = store.path if what == "file" else directory
        mode = place.stat().st_mode
        place.chmod(mode & 0o555)
        try:
            again = Store(store.path)
            with pytest.raises(StoreUnavailable, match="writable"):
                ask(again)
            assert [bridge.state for bridge in again.bridges()] == ["paused"]
        finally:
            place.chmod(mode)
        assert again.recheck()
        assert texts(again) == ["before"]
        ask(again)
        again.close()
