"""Transactions: all or nothing, however they nest."""

import pytest

from agentbridged.errors import StoreError
from agentbridged.store import Store


def texts(store: Store) -> list[str]:
    return [row.text for row in store.history("a-1")]


def hear(store: Store, text: str) -> None:
    store.add(bridge="a-1", direction="to_claude", sender="codex", text=text)


def fail_after(store: Store, text: str) -> None:
    with store.transaction():
        with store.transaction():
            hear(store, text)
        store.set_thread("a-1", "t", "later")
        raise ZeroDivisionError


def test_what_is_grouped_is_kept_together_or_not_at_all(store: Store) -> None:
    with store.transaction():
        hear(store, "one")
        store.set_thread("a-1", "t", "cursor")
    with pytest.raises(ZeroDivisionError):
        fail_after(store, "two")
    assert texts(store) == ["one"]
    bridge = store.bridge("a-1")
    assert bridge is not None
    assert bridge.cursor == "cursor"
    assert store.counts("a-1").to_claude == 1


def test_an_inner_block_that_fails_takes_only_itself_back(store: Store) -> None:
    with store.transaction():
        hear(store, "before")
        with pytest.raises(ZeroDivisionError):
            fail_after(store, "inside")
        hear(store, "after")
    assert texts(store) == ["before", "after"]
    assert [row.seq for row in store.history("a-1")] == [1, 2]


def test_a_closed_store_says_so(store: Store) -> None:
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.bridges()
