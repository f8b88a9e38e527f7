"""How much memory and how many descriptors the daemon and the proxy have, over time."""

from __future__ import annotations

import statistics
import threading
import time
from dataclasses import dataclass

import psutil

from tests.soak.scene import Scene

EVERY = 2.0
"""Seconds between two looks."""
GROWTH = 1.10
"""How much bigger the last third's median may be than the first third's."""
SLACK_MB = 2.0
SLACK_FDS = 4


@dataclass(frozen=True)
class Sample:
    """One look at one process."""

    at: float
    name: str
    pid: int
    megabytes: float
    descriptors: int


class Gauge:
    """Looks at both in a thread of its own."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.samples: list[Sample] = []
        self.enough = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self.enough.set()
        self._thread.join()

    def _run(self) -> None:
        while not self.enough.wait(EVERY):
            for name, pid in self._scene.pids().items():
                try:
                    process = psutil.Process(pid)
                    size = process.memory_info().rss / 2**20
                    self.samples.append(
                        Sample(time.monotonic(), name, pid, size, process.num_fds())
                    )
                except psutil.Error:
                    continue

    def longest(self, name: str) -> list[Sample]:
        """Return the looks at the incarnation that lived longest, its first tenth left out."""
        mine = [sample for sample in self.samples if sample.name == name]
        if not mine:
            return []
        pid = statistics.mode(sample.pid for sample in mine)
        life = [sample for sample in mine if sample.pid == pid]
        return life[len(life) // 10 :]


@dataclass(frozen=True)
class Trend:
    """How a process changed over its life: medians of the first and the last third."""

    name: str
    seconds: float
    megabytes: tuple[float, float]
    descriptors: tuple[float, float]

    @property
    def flat(self) -> bool:
        """Whether it did not grow."""
        (before, after), (few, many) = self.megabytes, self.descriptors
        return after <= before * GROWTH + SLACK_MB and many <= few * GROWTH + SLACK_FDS


def trend(samples: list[Sample]) -> Trend | None:
    """Compare the ends of a life; nothing when it was too short."""
    third = len(samples) // 3
    if third < 2:
        return None
    first, last = samples[:third], samples[-third:]
    return Trend(
        samples[0].name,
        samples[-1].at - samples[0].at,
        _medians(first, last, "megabytes"),
        _medians(first, last, "descriptors"),
    )


def _medians(first: list[Sample], last: list[Sample], what: str) -> tuple[float, float]:
    before, after = (
        statistics.median(getattr(sample, what) for sample in part) for part in (first, last)
    )
    return before, after
