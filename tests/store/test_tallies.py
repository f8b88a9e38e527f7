"""What is counted as it happens is what counting everything would give."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentbridged.machines import governor
from agentbridged.machines.outbox import State
from agentbridged.store import Store
from agentbridged.store.schema import LATENCIES, MIGRATIONS
from tests.store.clock import Clock

STATES: tuple[State, ...] = get_args(State)


def tallied(store: Store, wanted: str) -> dict[tuple[str, str], float]:
    return {(a, b): n for kind, a, b, n in store.tallies() if kind == wanted and n}


def ask(store: Store, text: str = "hello") -> str:
    row, _ = store.add(bridge="a-1", direction="to_codex", sender="claude", text=text)
    return row.id


@settings(max_examples=30, deadline=None)
@given(
    moves=st.lists(st.tuples(st.integers(0, 5), st.sampled_from([*STATES, "prune"])), max_size=30)
)
def test_messages_and_tries_are_counted_as_they_are(
    moves: list[tuple[int, str]],
) -> None:

    with tempfile.TemporaryDirectory() as directory:
        clock = Clock()
        store = Store(Path(directory) / "db", clock)
        store.ensure_bridge("a-1", "/a")
        ids = [ask(store) for _ in range(6)]
        for number, move in moves:
            if move == "prune":
                clock.now += 10 * 86_400
                store.prune(5)
            else:
                store.advance([ids[number]], move, step=move)  # type: ignore[arg-type]  # a State
        rows = store._db.execute("SELECT direction, state FROM messages").fetchall()
        assert tallied(store, "messages") == Counter(map(tuple, rows))
        store.close()


def test_the_time_until_a_message_is_handed_over_falls_into_a_bucket(
    store: Store, clock: Clock
) -> None:
    for seconds in (0.005, 5, 5, 1e6, -3):
        id = ask(store)
        clock.now += seconds
        store.advance([id], "written")
        clock.now += 100
        store.advance([id], "consumed")
        clock.now += 100
    failed = ask(store)
    store.advance([failed], "failed")
    counted = tallied(store, "delivery")
    ends = [str(end) for end in LATENCIES]
    assert counted.pop(("to_codex", "sum")) == pytest.approx(1_000_010.005)
    assert counted == {
        ("to_codex", ends[0]): 2,
        ("to_codex", "10"): 2,
        ("to_codex", "+Inf"): 1,
    }


def test_a_pause_is_counted_by_who_made_it(store: Store) -> None:
    store.set_bridge_state("a-1", "paused", by=governor.BY)
    store.set_bridge_state("a-1", "paused", by=governor.BY)  # it was paused already
    store.set_bridge_state("a-1", "active", by="anna")
    store.set_bridge_state("a-1", "paused", by="anna")
    assert tallied(store, "switches") == {
        ("paused", "governor"): 1,
        ("active", "person"): 1,
        ("paused", "person"): 1,
    }


def test_what_is_written_only_if_it_is_new_counts_as_well(store: Store) -> None:
    id = ask(store)
    for _ in range(2):
        store._db.execute(
            "INSERT OR IGNORE INTO attempts VALUES (?, 1.0, 'queue', 'ok', '')", (id,)
        )
    assert tallied(store, "attempts") == {("queue", "ok"): 2}


def test_what_was_there_before_is_counted_once(tmp_path: Path, clock: Clock) -> None:
    from agentbridged.store import schema

    older, newer = MIGRATIONS[:4], schema.MIGRATIONS
    try:
        schema.MIGRATIONS, schema.SCHEMA_VERSION = older, len(older)
        database = schema.open_database(tmp_path / "db")
    finally:
        schema.MIGRATIONS, schema.SCHEMA_VERSION = newer, len(newer)
    database.execute("INSERT INTO bridges (id, root, changed_at) VALUES ('a-1', '/a', 0)")
    database.execute(
        "INSERT INTO messages (id, bridge, seq, direction, sender, text, state, when_busy, "
        "start_thread, prompts, created_at, changed_at) "
        "VALUES ('m', 'a-1', 1, 'to_codex', 'claude', 't', 'written', 'queue', 0, '[]', 1, 1)"
    )
    database.close()
    store = Store(tmp_path / "db", clock)
    assert tallied(store, "messages") == {("to_codex", "written"): 1}
    store.advance(["m"], "consumed")
    assert tallied(store, "messages") == {("to_codex", "consumed"): 1}
    store.close()


def test_the_size_on_disk_has_its_log_in_it(store: Store) -> None:
    before = store.size()
    ask(store, "x" * 100_000)
    assert store.size() >= before + 100_000
