"""A damaged database is read around what is damaged."""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from agentbridged.store import Store
from agentbridged.store.salvage import CHUNK, Saved, _Reading, take_over
from agentbridged.store.schema import open_database

PAGE = 4096


def filled(path: Path, *, messages: int = 400) -> Store:
    store = Store(path)
    store.ensure_bridge("a-1", "/a")
    with store.transaction():
        for n in range(messages):
            store.add(bridge="a-1", direction="to_codex", sender="claude", text=f"word {n} " * 20)
    return store


def taken_over(directory: Path) -> Saved:
    """Take ``a.db`` over into a new ``b.db``."""
    target = open_database(directory / "b.db")
    saved = take_over(directory / "a.db", target)
    target.close()
    return saved


def test_a_whole_database_is_taken_over_whole(tmp_path: Path) -> None:
    store = filled(tmp_path / "a.db")
    store.set_bridge_state("a-1", "killed", by="anna")
    rows = store.history("a-1", limit=1000)
    store.attempt(rows[0].id, "queue", "sending", "t")
    store.close()
    saved = taken_over(tmp_path)
    again = Store(tmp_path / "b.db")
    assert (saved.messages, saved.whole) == (400, True)
    assert again.history("a-1", limit=1000) == rows
    assert [a.step for a in again.attempts(rows[0].id)] == ["queue"]
    assert again.counts("a-1").to_codex == 400
    assert again.since_word("a-1") == []
    assert again.bridges()[0].state == "killed"
    assert again.add(bridge="a-1", direction="to_codex", sender="claude", text="?")[0].seq == 401
    again.close()


def test_what_is_around_a_damaged_page_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    filled(path).close()
    with path.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        middle = file.tell() // PAGE // 2
        for page in (middle, middle + 1):
            file.seek(page * PAGE)
            file.write(b"\xff" * PAGE)
    before = path.read_bytes()
    saved = taken_over(tmp_path)
    assert not saved.whole
    assert 200 < saved.messages < 400
    assert path.read_bytes() == before
    again = Store(tmp_path / "b.db")
    assert len(again.search("word", limit=1000)) == saved.messages
    again.close()


def test_rows_that_no_version_of_ours_would_write_are_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    store = filled(path, messages=3)
    store._db.execute("UPDATE messages SET state = 'writtem' WHERE seq = 1")
    store._db.execute("UPDATE messages SET prompts = '[' WHERE seq = 2")
    store.close()
    saved = taken_over(tmp_path)
    assert (saved.messages, saved.whole) == (1, False)


def test_what_a_lost_bridge_takes_along_is_told_as_lost(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    store = filled(path, messages=3)
    store._db.execute("UPDATE bridges SET state = 'aktive'")
    store.close()
    saved = taken_over(tmp_path)
    assert (saved.messages, saved.whole) == (0, False)


def tried(path: Path, *, thread: str | None = "now") -> tuple[str, str]:
    """Fill a database; returns the ids of a message that was sent, and of one that was not."""
    store = filled(path, messages=2)
    store.set_thread("a-1", thread, "t@1")
    sent, waits = (message.id for message in store.history("a-1"))
    store.attempt(sent, "queue", "sending", "before")
    store.close()
    return sent, waits


def tries_after(path: Path) -> dict[str, list[tuple[str, str, str]]]:
    target = open_database(path.with_name("b.db"))
    assert take_over(path, target).messages == 2
    target.close()
    again = Store(path.with_name("b.db"))
    found = {
        message.id: [(a.step, a.result, a.detail) for a in again.attempts(message.id)]
        for message in again.history("a-1")
    }
    again.close()
    return found


def test_a_message_that_was_never_tried_is_not_taken_for_sent(tmp_path: Path) -> None:
    sent, waits = tried(tmp_path / "a.db")
    assert tries_after(tmp_path / "a.db") == {sent: [("queue", "sending", "before")], waits: []}


def test_a_message_whose_tries_cannot_be_read_may_be_there_already(tmp_path: Path) -> None:
    sent, waits = tried(tmp_path / "a.db")
    with sqlite3.connect(tmp_path / "a.db") as database:
        database.execute("DROP TABLE attempts")
    database.close()
    doubt = [("salvage", "sending", "now")]
    assert tries_after(tmp_path / "a.db") == {sent: doubt, waits: doubt}


def test_without_a_thread_no_message_can_be_there(tmp_path: Path) -> None:
    sent, waits = tried(tmp_path / "a.db", thread=None)
    with sqlite3.connect(tmp_path / "a.db") as database:
        database.execute("DROP TABLE attempts")
    database.close()
    assert tries_after(tmp_path / "a.db") == {sent: [], waits: []}


def test_what_is_under_way_keeps_its_tries_when_time_runs_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent, waits = tried(tmp_path / "a.db")
    rows = _Reading.rows

    def in_time(reading: _Reading, table: str, columns: str) -> Iterator[Sequence[Any]]:
        if table == "attempts":
            reading._until = 0.0
        return rows(reading, table, columns)

    monkeypatch.setattr(_Reading, "rows", in_time)
    assert tries_after(tmp_path / "a.db") == {
        sent: [("queue", "sending", "before")],
        waits: [("salvage", "sending", "now")],
    }


def test_what_waits_is_taken_over_first_however_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled(tmp_path / "a.db", messages=CHUNK + 2)
    waits, given, *others = (message.id for message in store.history("a-1", limit=CHUNK + 2))
    store.advance([given], "written")
    store.advance(others, "answered")
    store.close()
    rows = _Reading.rows

    def in_time(reading: _Reading, table: str, columns: str) -> Iterator[Sequence[Any]]:
        for number, row in enumerate(rows(reading, table, columns)):
            if number == 0 and table == "messages":
                reading._until = 0.0
            yield row

    monkeypatch.setattr(_Reading, "rows", in_time)
    saved = taken_over(tmp_path)
    again = Store(tmp_path / "b.db")
    assert (saved.messages, saved.whole) == (CHUNK + 2, False)
    assert [m.id for m in again.undelivered("a-1", "to_codex")] == [waits]
    assert [m.id for m in again.unconfirmed("a-1", "to_codex")] == [given]
    again.close()


def test_from_garbage_nothing_is_taken_and_nothing_raised(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"a letter, no database " * 400)
    target = open_database(tmp_path / "b.db")
    saved = take_over(path, target)
    assert (saved.messages, saved.whole) == (0, False)
    assert target.execute("SELECT count(*) FROM messages").fetchone() == (0,)
    target.close()


def test_a_new_database_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    filled(tmp_path / "a.db", messages=1).close()
    target = sqlite3.connect(tmp_path / "b.db", isolation_level=None)
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        take_over(tmp_path / "a.db", target)
    assert not target.in_transaction
    target.close()
