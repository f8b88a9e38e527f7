"""What the store does with a damaged file, and where no file can be used."""

import os
import sqlite3
from pathlib import Path

import pytest

from agentbridged.errors import StoreUnavailable
from agentbridged.store import Store
from agentbridged.store.schema import SCHEMA_VERSION
from tests.store.clock import Clock
from tests.store.traffic import after_a_restart, ask, hear, killed_and_asked, still_there, texts

# A damaged file


def damage(path: Path, *, to: bytes = b"\xff") -> None:
    """Flip what is in the middle, behind SQLite's back."""
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(8192)
        file.write(to * (size - 8192))


def fresh(path: Path, clock: Clock) -> Store:
    store = Store(path, clock)
    store.ensure_bridge("a-1", "/a")
    with store.transaction():
        for n in range(300):
            ask(store, f"{n} " * 100)
    store.set_bridge_state("a-1", "paused", by="anna")
    store.set_thread("a-1", "t", "cursor")
    store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return store


def test_damage_found_while_running_is_put_aside_and_work_goes_on(
    tmp_path: Path, clock: Clock
) -> None:
    store = fresh(tmp_path / "a.db", clock)
    store.bridges()
    damage(store.path)
    store._db.execute("PRAGMA shrink_memory")
    damaged = store.path.read_bytes()
    texts(store)  # a read finds it
    assert store.health.ok
    assert "damaged" in store.health.loss
    (aside,) = store.health.aside
    assert aside.read_bytes() == damaged
    (row,) = store.bridges()
    assert (row.state, row.thread_id, row.cursor) == ("paused", "t", "cursor")
    ask(store, "after")
    again = after_a_restart(store)
    assert texts(again)[-1] == "after"
    assert again.health.aside == [aside], "it is told until somebody takes it away"
    again.close()


def test_damage_found_by_a_write_refuses_that_one_and_takes_the_next(
    tmp_path: Path, clock: Clock
) -> None:
    store = fresh(tmp_path / "a.db", clock)
    damage(store.path)
    store._db.execute("PRAGMA shrink_memory")
    with pytest.raises(StoreUnavailable, match="try again"):
        store.prune(-1)
    ask(store, "after")
    assert texts(store)[-1] == "after"
    store.close()


@pytest.mark.parametrize("left", [100, 5000, 40_000])
def test_a_truncated_file_is_put_aside_at_the_start(
    tmp_path: Path, clock: Clock, left: int
) -> None:
    store = fresh(tmp_path / "a.db", clock)
    store.close()
    os.truncate(store.path, left)
    store = Store(store.path, clock)
    assert store.health.ok
    assert [aside.stat().st_size for aside in store.health.aside] == [left]
    store.ensure_bridge("a-1", "/a")
    ask(store, "after")
    store.close()


def test_where_a_damaged_file_cannot_be_moved_work_goes_on_in_memory(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"garbage " * 2000)
    monkeypatch.setattr("agentbridged.store.files.put_aside", lambda path, why: None)
    store = Store(path, clock)
    assert store.health.state == "memory"
    assert "cannot be put aside" in store.health.reason
    assert path.read_bytes() == b"garbage " * 2000
    store.close()


# No file that can be used


def newer(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()


def test_a_newer_schema_is_not_touched_and_work_goes_on_in_memory(
    tmp_path: Path, clock: Clock
) -> None:
    path = tmp_path / "a.db"
    store = fresh(path, clock)
    waiting = texts(store)
    store.close()
    newer(path)
    before = path.read_bytes()
    store = Store(path, clock)
    assert store.health.state == "memory"
    assert "newer agentbridge" in store.health.reason
    assert [bridge.state for bridge in store.bridges()] == ["paused"]
    with pytest.raises(StoreUnavailable, match="newer agentbridge"):
        ask(store)
    with pytest.raises(StoreUnavailable, match="newer agentbridge"):
        store.attempt("ab-of-the-file", "queue", "sending", "t")
    hear(store, "not kept")
    store.set_thread("a-1", "t", "further on")
    clock.now += 60
    killed_and_asked(store)
    still_there(store)
    assert not store.recheck()
    assert path.read_bytes() == before
    database = sqlite3.connect(path)
    database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    database.close()
    ask(store, "after")
    again = after_a_restart(store)
    still_there(again)
    assert texts(again) == [*waiting, "not kept", "after"]
    row = again.bridge("a-1")
    assert row is not None
    assert row.cursor == "cursor", "what was missed is read back from here"
    again.close()


def test_a_directory_that_cannot_be_had_is_worked_around(tmp_path: Path) -> None:
    path = tmp_path / "state" / "a.db"
    path.parent.touch()
    store = Store(path)
    assert store.health.state == "memory"
    store.ensure_bridge("a-1", "/a")
    with pytest.raises(StoreUnavailable, match="Not a directory"):
        ask(store)
    path.parent.unlink()
    assert store.recheck()
    ask(store)
    again = after_a_restart(store)
    assert len(again.history("a-1")) == 1
    again.close()


def test_a_disk_that_reports_errors_is_left_for_memory(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(store, "before")
    store.set_bridge_state("b-2", "killed", by="anna")
    file = store._db

    class Failing:
        in_transaction = False

        def execute(self, *arguments: object) -> object:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_READ
            raise error

        def close(self) -> None:
            file.close()

    monkeypatch.setattr(store, "_db", Failing())
    assert {bridge.id: bridge.state for bridge in store.bridges()}["b-2"] == "killed"
    assert store.health.state == "memory"
    assert "check the disk" in store.health.reason
    assert store.recheck()
    assert texts(store) == ["before"]
