"""
agentbridgectl: how long a person waits for ``status``.

``python -m tests.bench.bench_ctl`` prints the wall time's p50 of ``agentbridgectl status`` with 1
and with 1,000 bridges, beside ``python -c pass`` (the least any Python program takes), taken in
turns, and the round trip of the call alone on an open connection.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from agentbridged.admin.client import AdminClient
from tests.admin.desk import served
from tests.bench.bench_store import fill

ROUNDS = 20
CALLS = 200


def spans(call: Callable[[], object], rounds: int) -> list[float]:
    """Time a call, in milliseconds."""
    taken = []
    for _ in range(rounds):
        begin = time.perf_counter()
        call()
        taken.append((time.perf_counter() - begin) * 1000)
    return taken


def measure(directory: Path, name: str) -> None:
    """Print the figures for the daemon served in *directory*; runs beside its event loop."""
    environment = {
        **{"PATH": os.environ["PATH"], "HOME": str(directory)},
        **{"AGENTBRIDGE_RUNTIME_DIR": str(directory), "AGENTBRIDGE_STATE_DIR": str(directory)},
    }

    def run(*arguments: str) -> None:
        command = [sys.executable, *arguments]
        root = Path(__file__).parents[2]
        subprocess.run(command, env=environment, cwd=root, stdout=subprocess.DEVNULL, check=True)

    bare: list[float] = []
    status: list[float] = []
    for _ in range(ROUNDS):  # in turns, so that a busy moment of the machine hits both
        bare += spans(lambda: run("-c", "pass"), 1)
        status += spans(lambda: run("-m", "agentbridged.ctl", "status"), 1)
    with AdminClient(directory / "admin.sock") as client:
        alone = spans(lambda: client.call("status"), CALLS)
    least, wall = statistics.median(bare), statistics.median(status)
    print(
        f"{name:24} agentbridgectl status p50 {wall:6.1f} ms (goal 150)   "
        f"python -c pass {least:5.1f} ms   ratio {wall / least:.1f}   "
        f"call alone {statistics.median(alone):.2f} ms",
        flush=True,
    )


async def bench(bridges: int, messages: int) -> None:
    """Serve that many, and measure."""
    with tempfile.TemporaryDirectory() as directory:
        async with served(Path(directory)) as desk:
            fill(desk.store, bridges, messages)
            name = f"{bridges:,} bridges, {messages:,}"
            await asyncio.to_thread(measure, Path(directory), name)


def main() -> None:
    """Print the figures."""
    for bridges, messages in ((1, 1), (1_000, 100_000)):
        asyncio.run(bench(bridges, messages))


if __name__ == "__main__":
    main()
