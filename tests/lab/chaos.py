"""A relay before one of our sockets, and what a test has it do (``tests/fakes/chaos_relay.py``)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

PROGRAM = Path(__file__).parent.parent / "fakes" / "chaos_relay.py"

Way = Literal["up", "down", "both"]
"""To the one that listens, from it, or both."""
Who = int | Literal["all"]
"""The process whose connections are meant."""


class Chaos:
    """One relay; it ends with :meth:`close`, or with whoever started it."""

    def __init__(
        self,
        front: Path,
        target: Path,
        *,
        patience: float = 0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.front, self.target = front, target
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(front), str(target), str(patience)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._expect_ok()
        self._inode = front.stat().st_ino

    @property
    def pid(self) -> int:
        """Of the relay, which is whom the one that listens sees."""
        return self._process.pid

    @property
    def listens(self) -> bool:
        """Whether its place is still its own: another may have listened there since."""
        return self.front.exists() and self.front.stat().st_ino == self._inode

    def peers(self) -> list[int]:
        """Return the process at the near end of each connection, in the order they came."""
        return [int(pid) for pid in self._tell("peers").split()]

    def cut(self, who: Who = "all") -> None:
        """End connections at once, at both ends."""
        self._tell(f"cut {who}")

    def half_close(self, way: Way, who: Who = "all") -> None:
        """End one direction, and say so to whom it leads."""
        self._tell(f"half {way} {who}")

    def stall(self, way: Way, who: Who = "all") -> None:
        """Let nothing pass that way until :meth:`calm`."""
        self._tell(f"stall {way} {who}")

    def delay(self, seconds: float) -> None:
        """Make each piece late, until :meth:`calm`."""
        self._tell(f"delay {seconds}")

    def dribble(self) -> None:
        """Let each byte go alone, until :meth:`calm`."""
        self._tell("dribble")

    def storm(self, seed: int) -> None:
        """Split, delay and at times cut by the dice of this seed, until :meth:`calm`."""
        self._tell(f"storm {seed}")

    def double(self, who: Who = "all") -> None:
        """Say once more, on a connection of its own, what a connection was opened with."""
        self._tell(f"double {who}")

    def bar(self, who: Who = "all") -> None:
        """Let the next connections wait unanswered until :meth:`calm`."""
        self._tell(f"bar {who}")

    def calm(self) -> None:
        """End whatever goes on; what was cut stays cut."""
        self._tell("calm")

    def close(self) -> None:
        """End the relay, and with it its connections."""
        self._process.kill()
        self._process.communicate()

    def _tell(self, command: str) -> str:
        assert self._process.stdin
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        return self._expect_ok()

    def _expect_ok(self) -> str:
        assert self._process.stdout
        answer, _, rest = self._process.stdout.readline().strip().partition(" ")
        assert answer == "ok", "the relay has failed: see its stderr"
        return rest


@contextmanager
def chaos(front: Path, target: Path, *, patience: float = 0) -> Iterator[Chaos]:
    """Run a relay."""
    relay = Chaos(front, target, patience=patience)
    try:
        yield relay
    finally:
        relay.close()
