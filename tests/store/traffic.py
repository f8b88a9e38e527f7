"""What is written to a store while a test lets it down."""

from __future__ import annotations

from agentbridged.store import MessageRow, Store


def ask(store: Store, text: str = "?") -> MessageRow:
    return store.add(bridge="a-1", direction="to_codex", sender="claude", text=text)[0]


def hear(store: Store, item: str) -> MessageRow:
    return store.add(bridge="a-1", direction="to_claude", sender="codex", text=item, item_id=item)[
        0
    ]


def texts(store: Store) -> list[str]:
    return [row.text for row in store.history("a-1", limit=1000)]


def keep_asking(store: Store, acknowledged: list[str]) -> None:
    """Ask until it is refused; what is free inside the files is used up first."""
    for n in range(1000):
        acknowledged.append(ask(store, f"{n} " * 500).text)  # noqa: PERF401 — what came so far


def killed_and_asked(store: Store) -> None:
    """A person switches the bridge off, and Codex asks something: neither can wait."""
    store.set_bridge_state("a-1", "killed", by="anna")
    store.ensure_bridge("c-3", "/c")
    store.mark_attached("c-3")
    for id in ("ap-1", "ap-2"):
        store.add_approval(
            id=id,
            bridge="a-1",
            server="7:1",
            request_id=6,
            method="m",
            thread_id="t",
            turn_id=None,
            what="run it",
            asked={},
        )
    store.set_approval("ap-2", "answered", result={}, answered_by="anna", answered_at=1.0)


def still_there(store: Store) -> None:
    row, other = store.bridge("a-1"), store.bridge("c-3")
    assert row is not None
    assert other is not None
    assert (row.state, other.attached) == ("killed", True)
    assert [(a.id, a.state) for a in store.open_approvals()] == [
        ("ap-1", "pending"),
        ("ap-2", "answered"),
    ]


def after_a_restart(store: Store) -> Store:
    store.close()
    again = Store(store.path, store._clock)
    assert again.health.ok
    return again
