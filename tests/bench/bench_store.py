"""
The store: a message accepted and durable, and reading it with one and with a million kept.

``python -m tests.bench.bench_store [MESSAGES]`` prints p50 and p99 of each call, with one bridge
and one message, then with 1,000 bridges and 1,000,000 messages (or as many as were asked for).
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from agentbridged.store import Store

BRIDGES = 1_000
MESSAGES = 1_000_000
ROUNDS = 200
WAITING = 20
"""Messages of a bridge that are not delivered yet; the others are finished."""

WORDS = [f"word{n}" for n in range(5_000)]
COMMON = "the"
RARE = "needle"


def fill(store: Store, bridges: int, messages: int) -> None:
    """Write many messages quickly: what the daemon would have kept in months."""
    chance = random.Random(7)
    for n in range(bridges):
        store.ensure_bridge(f"project-{n:08x}", f"/home/anna/project-{n}")
    each = messages // bridges

    def rows() -> list[tuple[object, ...]]:
        return [
            (
                *(f"ab-{n:012x}", f"project-{n % bridges:08x}", n // bridges + 1),
                *("to_codex" if n % 2 else "to_claude", "claude" if n % 2 else "codex"),
                f"{COMMON} {' '.join(chance.choices(WORDS, k=12))}",
                "accepted" if n // bridges >= each - WAITING else "answered",
                *(f"turn-{n}", float(n), float(n)),
            )
            for n in chunk
        ]

    for start in range(0, messages, 20_000):
        chunk = range(start, min(start + 20_000, messages))
        with store.transaction():
            store._db.executemany(
                "INSERT INTO messages (id, bridge, seq, direction, sender, text, state, turn_id, "
                "when_busy, start_thread, prompts, created_at, changed_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'queue', 0, '[]', ?, ?)",
                rows(),
            )
    with store.transaction():
        store._db.execute("UPDATE bridges SET last_seq = ?", (each + 1,))


def measure(name: str, call: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Print how long a call takes; returns its p50 in milliseconds."""
    spans = []
    for _ in range(rounds):
        begin = time.perf_counter()
        call()
        spans.append((time.perf_counter() - begin) * 1000)
    spans.sort()
    p50, p99 = statistics.median(spans), spans[int(len(spans) * 0.99)]
    print(f"  {name:42} p50 {p50:8.3f} ms   p99 {p99:8.3f} ms", flush=True)
    return p50


def bench(store: Store, bridge: str) -> None:
    """Measure what the daemon does all day, and what a person asks."""
    ids: list[str] = []

    def accept() -> None:
        row, _ = store.add(bridge=bridge, direction="to_codex", sender="claude", text="a question")
        ids.append(row.id)

    store.add(bridge=bridge, direction="to_codex", sender="claude", text=RARE)
    measure("accept, on disk", accept)
    measure("advance, on disk", lambda: store.advance([ids.pop()], "answered", step="queue"))
    measure("counts of a bridge", lambda: store.counts(bridge))
    measure("undelivered of a bridge", lambda: store.undelivered(bridge, "to_codex"))
    measure("history, 50", lambda: store.history(bridge))
    everything = lambda: [(row, store.counts(row.id)) for row in store.bridges()]  # noqa: E731
    measure("status: every bridge with its counts", everything, 20)
    measure("tallies, for metrics", store.tallies)
    measure("search: a rare word", lambda: store.search(RARE))
    measure("search: a common word", lambda: store.search(COMMON))
    measure("search: a common word in one bridge", lambda: store.search(COMMON, bridge), 20)
    measure("search: two words", lambda: store.search("word7 word8"), 20)
    measure("search: a beginning", lambda: store.search("word12*"), 20)


def main() -> None:
    """Print the figures."""
    messages = int(sys.argv[1]) if sys.argv[1:] else MESSAGES
    for bridges, kept in ((1, 1), (min(BRIDGES, messages), messages)):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "agentbridge.db"
            store = Store(path)
            begin = time.perf_counter()
            fill(store, bridges, kept)
            took = time.perf_counter() - begin
            begin = time.perf_counter()
            store.close()
            store = Store(path)
            opened = (time.perf_counter() - begin) * 1000
            size = path.stat().st_size / 1e6
            print(
                f"{bridges:,} bridges, {kept:,} messages "
                f"({size:,.1f} MB, filled in {took:.1f} s, opened in {opened:.1f} ms)"
            )
            bench(store, f"project-{bridges // 2:08x}" if bridges > 1 else "project-00000000")
            store.close()


if __name__ == "__main__":
    main()
