"""A damaged database is read around what is damaged."""

import os
import sqlite3
from pathlib import Path

import pytest

from agentbridged.store import Store
from agentbridged.store.salvage import take_over
from agentbridged.store.schema import open_database

PAGE = 4096


def filled(path: Path, *, messages: int = 400) -> Store:
    store = Store(path)
    store.ensure_bridge("a-1", "/a")
    with store.transaction():
        for n in range(messages):
            store.add(bridge="a-1", direction="to_codex", sender="claude", text=f"word {n} " * 20)
    return store


def test_a_whole_database_is_taken_over_whole(tmp_path: Path) -> None:
    store = filled(tmp_path / "a.db")
    store.set_bridge_state("a-1", "killed", by="anna")
    rows = store.history("a-1", limit=1000)
    store.attempt(rows[0].id, "queue", "sending", "t")
    store.close()
    target = open_database(tmp_path / "b.db")
    saved = take_over(tmp_path / "a.db", target)
    target.close()
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
    target = open_database(tmp_path / "b.db")
    saved = take_over(path, target)
    target.close()
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
    target = open_database(tmp_path / "b.db")
    saved = take_over(path, target)
    assert (saved.messages, saved.whole) == (1, False)
    target.close()


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
