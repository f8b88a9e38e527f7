"""What is kept of a bridge."""

import pytest

from agentbridged.errors import UnknownBridge
from agentbridged.store import Store
from tests.store.clock import Clock


def test_a_bridge_keeps_who_switched_it_off_when_and_why(store: Store, clock: Clock) -> None:
    clock.now += 60
    row = store.set_bridge_state("a-1", "killed", by="root (pid 7)", reason="lunch")
    assert (row.state, row.changed_by, row.changed_at, row.reason) == (
        *("killed", "root (pid 7)", clock.now, "lunch"),
    )
    assert store.ensure_bridge("a-1", "/a") == row
    with pytest.raises(UnknownBridge, match="nowhere"):
        store.set_bridge_state("nowhere", "killed", by="me")


def test_a_bridge_keeps_its_thread_its_cursor_and_that_claude_was_there(store: Store) -> None:
    store.set_thread("a-1", "t", "c")
    store.mark_attached("a-1")
    row = store.bridge_at("/a")
    assert row is not None
    assert (row.id, row.thread_id, row.cursor, row.attached) == ("a-1", "t", "c", True)
    assert [b.id for b in store.bridges()] == ["a-1", "b-2"]
    assert store.bridge("nowhere") is None
    with pytest.raises(UnknownBridge):
        store.mark_attached("nowhere")


def test_what_crossed_since_a_persons_word_is_known(store: Store) -> None:
    store.ensure_bridge("g-1", "/g")
    store.person_spoke("g-1", first=True)
    ids = [
        store.add(bridge="g-1", direction="to_codex", sender="claude", text=f"{n}")[0].id
        for n in range(4)
    ]
    store.add(bridge="g-1", direction="to_claude", sender="codex", text="-", state="history")
    assert [message.id for message in store.since_word("g-1")] == ids
    assert [message.id for message in store.since_word("g-1", limit=2)] == ids[2:]
    store.person_spoke("g-1", first=True)
    assert len(store.since_word("g-1")) == 4
    store.person_spoke("g-1")
    assert store.since_word("g-1") == []


def test_a_word_that_is_told_with_its_time_leaves_what_came_after_it(
    store: Store, clock: Clock
) -> None:
    store.person_spoke("a-1", first=True)
    for number in range(4):
        clock.now += 10
        store.add(bridge="a-1", direction="to_codex", sender="claude", text=f"{number}")
    store.person_spoke_at("a-1", clock.now - 15)
    assert [message.text for message in store.since_word("a-1")] == ["2", "3"]
    store.person_spoke_at("a-1", clock.now - 25)
    assert [message.text for message in store.since_word("a-1")] == ["2", "3"]
