from pathlib import Path

import pytest

from agentbridged.store import ApprovalRow, Store


def add(store: Store, id: str, request_id: int | str = 0, bridge: str = "a-1") -> ApprovalRow:
    store.ensure_bridge(bridge, f"/{bridge}")
    return store.add_approval(
        id=id,
        bridge=bridge,
        server="7:1.00",
        request_id=request_id,
        method="m",
        thread_id="th",
        turn_id=None,
        what="run a command",
        asked={"command": "true"},
    )


def settle(store: Store, id: str, state: str) -> None:
    store.set_approval(id, state, result={"d": 1}, answered_by="anna", answered_at=5.0)


def test_what_is_settled_is_forgotten_with_its_age_and_what_is_open_is_not(tmp_path: Path) -> None:
    now = 1e9
    store = Store(tmp_path / "db", lambda: now)
    for id in ("ap-1", "ap-2"):
        add(store, id)
    settle(store, "ap-1", "resolved")
    now += 2 * 86_400
    add(store, "ap-3")
    settle(store, "ap-3", "resolved")
    store.prune(keep_days=3)
    assert [row.id for row in store.latest_approvals()] == ["ap-1", "ap-2", "ap-3"]
    store.prune(keep_days=1)
    assert [row.id for row in store.latest_approvals()] == ["ap-2", "ap-3"]
    store.close()


@pytest.mark.parametrize("request_id", [6, "6"])
def test_a_request_id_keeps_its_type(tmp_path: Path, request_id: int | str) -> None:
    store = Store(tmp_path / "db")
    assert add(store, "ap-1", request_id).request_id == request_id
    store.close()


def test_what_is_open_is_found_again_after_a_restart(tmp_path: Path) -> None:
    store = Store(tmp_path / "db")
    for id in ("ap-1", "ap-2", "ap-3", "ap-4"):
        add(store, id)
    settle(store, "ap-2", "answered")
    settle(store, "ap-3", "resolved")
    settle(store, "ap-4", "orphaned")
    store.close()
    store = Store(tmp_path / "db")
    assert [(a.id, a.state) for a in store.open_approvals()] == [
        ("ap-1", "pending"),
        ("ap-2", "answered"),
    ]
    answered = store.approval("ap-2")
    assert answered is not None
    assert (answered.result, answered.answered_by, answered.answered_at) == ({"d": 1}, "anna", 5.0)
    assert len(store.latest_approvals()) == 4
    assert store.approval("ap-9") is None
    store.close()


def test_each_bridge_has_its_own(tmp_path: Path) -> None:
    store = Store(tmp_path / "db")
    add(store, "ap-1", bridge="a-1")
    add(store, "ap-2", bridge="b-2")
    assert [a.id for a in store.open_approvals("b-2")] == ["ap-2"]
    assert [a.id for a in store.latest_approvals("a-1")] == ["ap-1"]
    store.close()
