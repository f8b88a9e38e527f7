"""
The metrics: what a monitoring system wants to know of the daemon, from facts that cost little.

Names and units follow Prometheus: base units, ``_total`` for what only grows. What is counted in
the database goes on through a restart of the daemon; the rest is how things are now. No label is a
project's or a message's, so a scrape stays small however many there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from agentbridged.machines.child import ChildState
from agentbridged.store import Store
from agentbridged.store.rows import BridgeState
from agentbridged.store.schema import LATENCIES
from agentbridged.wire.admin import Metric, Metrics, Sample

Tally = Sequence[tuple[str, str, str, float]]
CHILDREN = ("app_server", "proxy")
CHILD_STATES = tuple(state.value for state in ChildState)


def measure(status: Mapping[str, Any], store: Store) -> Metrics:
    """Return all metrics; *status* is the admin API's."""
    tallies = store.tallies()
    return Metrics(
        metrics=[
            *_daemon(status),
            *_children(status),
            *_bridges(status["bridges"]),
            *_messages(tallies, status["bridges"]),
            _gauge("approvals_pending", "Questions that wait for a person.", _pending(store)),
            _gauge("database_bytes", "Size of the database and its log.", store.size()),
            _gauge("database_ok", "Whether what is said can be kept.", int(store.health.ok)),
        ]
    )


def _metric(kind: str, name: str, about: str, samples: Iterable[Sample]) -> Metric:
    return Metric(name=f"agentbridge_{name}", type=kind, help=about, samples=list(samples))


def _gauge(name: str, about: str, value: float) -> Metric:
    return _metric("gauge", name, about, [Sample(value=value)])


def _labelled(values: Mapping[str, float], label: str, **more: str) -> list[Sample]:
    return [Sample(labels={**more, label: key}, value=value) for key, value in values.items()]


def _pending(store: Store) -> int:
    return sum(row.state == "pending" for row in store.open_approvals())


def _daemon(status: Mapping[str, Any]) -> list[Metric]:
    version = {"version": str(status["version"])}
    return [
        _metric("gauge", "info", "The daemon's version.", [Sample(labels=version, value=1)]),
        _gauge("uptime_seconds", "Since the daemon started.", status["uptime_s"]),
    ]


def _children(status: Mapping[str, Any]) -> list[Metric]:
    states = [
        sample
        for child in CHILDREN
        for sample in _labelled(
            {state: int(status[child]["state"] == state) for state in CHILD_STATES},
            "state",
            child=child,
        )
    ]
    restarts = {child: status[child]["restarts"] for child in CHILDREN}
    tuis = status["proxy"]["tuis"]
    return [
        _metric("gauge", "child_state", "1 for the state a child process is in.", states),
        _metric(
            *("counter", "child_restarts_total", "Times a child was started anew."),
            _labelled(restarts, "child"),
        ),
        _gauge("tuis", "Codex terminals that are connected through the proxy.", tuis),
    ]


def _bridges(rows: Sequence[Mapping[str, Any]]) -> list[Metric]:
    states = dict.fromkeys(get_args(BridgeState), 0) | Counter(row["state"] for row in rows)
    seats = sum(row["claude"] is not None for row in rows)
    threads = [row["codex"] for row in rows if row["codex"] is not None]
    waiting = sum(thread.get("waiting_on") is not None for thread in threads)
    oldest = max((row["oldest_undelivered_s"] or 0.0 for row in rows), default=0.0)
    return [
        _metric("gauge", "bridges", "Bridges by state.", _labelled(states, "state")),
        _gauge("seats_held", "Claude sessions that hold a bridge's seat.", seats),
        _gauge("threads_bound", "Bridges with a Codex thread.", len(threads)),
        _gauge("threads_waiting", "Codex threads that wait for a person.", waiting),
        _gauge("oldest_undelivered_seconds", "Age of the oldest undelivered message.", oldest),
    ]


def _messages(tallies: Tally, rows: Sequence[Mapping[str, Any]]) -> list[Metric]:
    waiting = {
        "to_codex": sum(row["to_codex"] for row in rows),
        "to_claude": sum(row["to_claude"] for row in rows),
    }
    pauses = sum(n for kind, a, b, n in tallies if (kind, a, b) == ("switches", *_GOVERNED))
    return [
        _metric(
            *("gauge", "messages", "Messages that are kept, by how far they have come."),
            _tallied(tallies, "messages", "direction", "state"),
        ),
        _metric(
            *("gauge", "undelivered_messages", "Messages that are not handed over yet."),
            _labelled(waiting, "direction"),
        ),
        _metric(
            *("counter", "delivery_attempts_total", "Tries at delivering messages."),
            _tallied(tallies, "attempts", "step", "result"),
        ),
        _metric(
            *("histogram", "delivery_seconds", "From a message's acceptance to its hand-over."),
            [s for direction in waiting for s in _histogram(tallies, direction)],
        ),
        _metric(
            *("counter", "governor_pauses_total", "Times the governor paused a bridge."),
            [Sample(value=pauses)],
        ),
    ]


_GOVERNED = ("paused", "governor")


def _tallied(tallies: Tally, wanted: str, first: str, second: str) -> list[Sample]:
    return [
        Sample(labels={first: a, second: b}, value=n) for kind, a, b, n in tallies if kind == wanted
    ]


def _histogram(tallies: Tally, direction: str) -> list[Sample]:
    own = {b: n for kind, a, b, n in tallies if (kind, a) == ("delivery", direction)}
    samples, total = [], 0.0
    for end in (*map(str, LATENCIES), "+Inf"):
        total += own.get(end, 0.0)
        labels = {"direction": direction, "le": end}
        samples.append(Sample(suffix="_bucket", labels=labels, value=total))
    named = {"direction": direction}
    samples.append(Sample(suffix="_sum", labels=named, value=own.get("sum", 0.0)))
    samples.append(Sample(suffix="_count", labels=named, value=total))
    return samples
