"""The numbers of a desk with a real store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agentbridged.admin.metrics import measure
from agentbridged.machines import governor
from agentbridged.store import Store
from agentbridged.wire.admin import Metrics
from tests.admin.desk import SmallDesk

Values = dict[tuple[str, tuple[str, ...]], float]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[SmallDesk]:
    store = Store(tmp_path / "a.db")
    store.ensure_bridge("a-1", "/a")
    store.ensure_bridge("b-2", "/b")
    yield SmallDesk(store)
    store.close()


def values(measured: Metrics) -> Values:
    return {
        (f"{metric.name.removeprefix('agentbridge_')}{s.suffix}", tuple(s.labels.values())): s.value
        for metric in measured.metrics
        for s in metric.samples
    }


def test_messages_tries_and_deliveries_are_told(desk: SmallDesk) -> None:
    store = desk.store
    for n in range(3):
        store.add(bridge="a-1", direction="to_codex", sender="claude", text=f"{n}")
    store.advance([store.history("a-1")[0].id], "written", step="queue")
    told = values(measure(desk.status(), store))
    assert told["messages", ("to_codex", "accepted")] == 2
    assert told["messages", ("to_codex", "written")] == 1
    assert told["undelivered_messages", ("to_codex",)] == 2
    assert told["undelivered_messages", ("to_claude",)] == 0
    assert told["oldest_undelivered_seconds", ()] == 1.0
    assert told["delivery_attempts_total", ("queue", "ok")] == 1
    assert told["delivery_seconds_count", ("to_codex",)] == 1
    assert told["delivery_seconds_bucket", ("to_codex", "+Inf")] == 1
    assert told["delivery_seconds_count", ("to_claude",)] == 0


def test_a_histogram_adds_up_its_buckets(desk: SmallDesk) -> None:
    told = values(measure(desk.status(), desk.store))
    buckets = [v for (name, _), v in told.items() if name == "delivery_seconds_bucket"]
    assert len(buckets) == 14
    store = desk.store
    for n in range(3):
        row, _ = store.add(bridge="a-1", direction="to_claude", sender="codex", text=f"{n}")
        store.advance([row.id], "written")
    told = values(measure(desk.status(), store))
    own = [v for (n, ls), v in told.items() if n.endswith("_bucket") and ls[0] == "to_claude"]
    assert own == sorted(own)
    assert own[-1] == 3


def test_bridges_children_and_the_database_are_told(desk: SmallDesk) -> None:
    desk.store.set_bridge_state("a-1", "paused", by=governor.BY)
    told = values(measure(desk.status(), desk.store))
    assert told["bridges", ("active",)] == 1
    assert told["bridges", ("paused",)] == 1
    assert told["bridges", ("killed",)] == 0
    assert told["governor_pauses_total", ()] == 1
    assert told["child_state", ("proxy", "RUNNING")] == 1
    assert told["child_state", ("proxy", "FATAL")] == 0
    assert told["child_restarts_total", ("app_server",)] == 0
    assert told["database_ok", ()] == 1
    assert told["database_bytes", ()] > 0
    assert told["approvals_pending", ()] == 0
    assert told["info", ("0",)] == 1
    assert told["uptime_seconds", ()] == 3.0
    assert told["seats_held", ()] == told["tuis", ()] == told["threads_bound", ()] == 0


def test_no_label_is_of_a_project_or_a_message(desk: SmallDesk) -> None:
    row, _ = desk.store.add(bridge="a-1", direction="to_codex", sender="claude", text="a secret")
    told = str(measure(desk.status(), desk.store))
    assert "secret" not in told
    assert row.id not in told
    assert "a-1" not in told
