"""The small tables go on in memory while their file cannot be written, and come back to it."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentbridged.machines.outbox import State
from agentbridged.store import Store, shadows
from agentbridged.store.schema import open_database, open_memory
from tests.store.clock import Clock


def bridge(id: str, *, state: str = "active", at: float = 1.0, thread: str | None = None) -> tuple:  # type: ignore[type-arg]
    cursor = None if thread is None else f"{thread}@1"
    return (id, f"/{id}", state, "anna", at, "", thread, cursor, 0)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    database = open_database(tmp_path / "a.db")
    yield database
    database.close()


@pytest.fixture
def memory() -> Iterator[sqlite3.Connection]:
    database = open_memory()
    yield database
    database.close()


def states(database: sqlite3.Connection, schema: str = "main") -> dict[str, str]:
    return dict(database.execute(f"SELECT id, state FROM {schema}.bridges").fetchall())


def test_a_shadow_is_written_instead_of_the_file_until_it_is_brought_home(
    file: sqlite3.Connection,
) -> None:
    shadows.put_back(file, shadows.Small([bridge("a")]))
    shadows.cast(file)
    shadows.cast(file)
    file.execute("UPDATE bridges SET state = 'killed'")
    file.execute("INSERT INTO bridges (id, root, changed_at) VALUES ('b', '/b', 1)")
    assert states(file) == {"a": "active"}
    shadows.bring_home(file)
    shadows.drop(file)
    assert states(file) == {"a": "killed", "b": "active"}
    shadows.bring_home(file)


def test_a_shadow_does_not_move_how_far_a_thread_was_read(file: sqlite3.Connection) -> None:
    shadows.put_back(file, shadows.Small([bridge("a", thread="t")]))
    shadows.cast(file)
    file.execute("UPDATE bridges SET cursor = 'elsewhere'")
    shadows.bring_home(file)
    assert file.execute("SELECT cursor FROM main.bridges").fetchone() == ("t@1",)


def test_memory_knows_the_bridges_of_a_file_that_can_only_be_read(
    tmp_path: Path, file: sqlite3.Connection, memory: sqlite3.Connection
) -> None:
    shadows.put_back(file, shadows.Small([bridge("a", state="killed", thread="t")]))
    shadows.seed(tmp_path / "a.db", memory)
    assert states(memory) == {"a": "killed"}
    assert memory.execute("SELECT thread_id, cursor FROM bridges").fetchone() == ("t", None)
    shadows.seed(tmp_path / "none.db", memory)
    assert not (tmp_path / "none.db").exists()


def test_what_was_switched_in_memory_stands_after_a_merge_whatever_the_clock_said(
    file: sqlite3.Connection, memory: sqlite3.Connection
) -> None:
    known: list[shadows.Row] = [bridge("a", at=5.0), bridge("b", at=5.0, state="killed")]
    shadows.put_back(file, shadows.Small([*known, bridge("d", state="killed")]))
    shadows.put_back(memory, shadows.Small(known))
    shadows.remember(memory)
    memory.execute("UPDATE bridges SET state = 'killed', changed_at = 1 WHERE id = 'a'")
    for id in ("c", "d"):
        memory.execute("INSERT INTO bridges (id, root, changed_at) VALUES (?1, '/' || ?1, 9)", id)
    shadows.merge(memory, file)
    assert states(file) == {"a": "killed", "b": "killed", "c": "active", "d": "killed"}


@pytest.mark.parametrize(("in_file", "after"), [("t", "t@1"), ("u", "t@later"), (None, "t@later")])
def test_a_thread_is_read_back_from_where_the_file_has_it(
    file: sqlite3.Connection, memory: sqlite3.Connection, in_file: str | None, after: str
) -> None:
    shadows.put_back(file, shadows.Small([bridge("a", thread=in_file)]))
    row = (*bridge("a")[:6], "t", "t@later", 1)
    shadows.put_back(memory, shadows.Small([row]))
    shadows.remember(memory)
    shadows.merge(memory, file)
    assert file.execute("SELECT cursor, attached FROM bridges").fetchone() == (after, 1)


def test_what_was_said_in_memory_follows_what_the_file_has_and_nothing_comes_twice(
    tmp_path: Path, clock: Clock
) -> None:
    def hear(store: Store, item: str) -> str:
        store.ensure_bridge("a-1", "/a")
        row, _ = store.add(
            bridge="a-1", direction="to_claude", sender="codex", text=item, item_id=item
        )
        return row.id

    kept, said = Store(tmp_path / "a.db", clock), Store(tmp_path / "b.db", clock)
    kept.ensure_bridge("a-1", "/a")
    kept.person_spoke("a-1")
    first = hear(kept, "one")
    assert hear(said, "one") == first, "an item's message has the same id wherever it is"
    second = hear(said, "two")
    said.advance([second], "written", step="inbox", written_to="7/s")
    shadows.remember(said._db)
    shadows.merge(said._db, kept._db)
    shadows.merge(said._db, kept._db)
    assert [(m.text, m.seq, m.state) for m in kept.history("a-1")] == [
        ("one", 1, "accepted"),
        ("two", 2, "written"),
    ]
    assert [a.step for a in kept.attempts(second)] == ["inbox"]
    assert kept.counts("a-1").to_claude == 1
    assert kept.since_word("a-1") == []
    kept.close()
    said.close()


def test_a_merge_that_fails_leaves_the_file_as_it_was(
    file: sqlite3.Connection, memory: sqlite3.Connection
) -> None:
    shadows.put_back(memory, shadows.Small([bridge("a")]))
    shadows.remember(memory)
    file.execute("DROP TABLE approvals")
    memory.execute(
        "INSERT INTO approvals VALUES ('x','a','s','1','m','t',NULL,'w','{}','pending',NULL,'',"
        "NULL,1,1)"
    )
    with pytest.raises(sqlite3.OperationalError):
        shadows.merge(memory, file)
    assert states(file) == {}


def approval(id: str, state: str) -> tuple:  # type: ignore[type-arg]
    where = ("a", "server", "7", "m", "t", None)
    return (id, *where, "run it", "{}", state, None, "", None, 1.0, 1.0)


def test_memory_knows_the_open_questions_of_a_file_that_can_only_be_read(
    tmp_path: Path, file: sqlite3.Connection, memory: sqlite3.Connection
) -> None:
    asked = (("p", "pending"), ("q", "answered"), ("r", "resolved"), ("broken", "pending"))
    rows: list[shadows.Row] = [approval(id, state) for id, state in asked]
    shadows.put_back(file, shadows.Small([bridge("a")], rows))
    file.execute("UPDATE approvals SET asked = '{' WHERE id = 'broken'")
    shadows.seed(tmp_path / "a.db", memory)
    assert memory.execute("SELECT id FROM approvals").fetchall() == [("p",), ("q",)]


def test_in_memory_messages_are_numbered_on(tmp_path: Path, clock: Clock) -> None:
    store = Store(tmp_path / "a.db", clock)
    store.ensure_bridge("a-1", "/a")

    def hear(item: str) -> int:
        message = {"direction": "to_claude", "sender": "codex", "text": item, "item_id": item}
        return store.add(bridge="a-1", **message)[0].seq  # type: ignore[arg-type]

    before = [hear("one"), hear("two")]
    store._work_in_memory("a disk error")
    assert [*before, hear("three")] == [1, 2, 3]
    assert store.recheck()
    assert [m.seq for m in store.history("a-1")] == [1, 2, 3]
    store.close()


def test_what_came_in_memory_of_a_message_of_the_file_stands(tmp_path: Path, clock: Clock) -> None:
    store = Store(tmp_path / "a.db", clock)
    store.ensure_bridge("a-1", "/a")

    def hear(item: str, state: State) -> str:
        message = {"direction": "to_claude", "sender": "codex", "text": item, "item_id": item}
        return store.add(bridge="a-1", state=state, **message)[0].id  # type: ignore[arg-type]

    read, killed, lost = hear("read", "accepted"), hear("killed", "history"), hear("l", "accepted")
    store._work_in_memory("a disk error")
    for item in ("read", "killed"):
        store.advance([hear(item, "accepted")], "consumed", step="transcript")
    hear("l", "history")
    assert store.recheck()
    after = {message.id: message.state for message in store.history("a-1")}
    assert after == {read: "consumed", killed: "history", lost: "accepted"}
    assert [a.step for a in store.attempts(read)] == ["transcript"]
    assert store.attempts(killed) == []
    store.close()
