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
