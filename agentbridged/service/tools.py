"""What every service needs: a command run, an outcome waited for; bounded, told in one line."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agentbridged.errors import Refused, Unavailable

PATIENCE = 100.0
"""Seconds for a command: a start may take 60, a stop 45."""

_never = threading.Event()


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def reason(self) -> str:
        """The last line it said, for people."""
        return ((self.err.strip() or self.out.strip()).splitlines() or [f"status {self.code}"])[-1]


def run(
    *command: str, environment: Mapping[str, str] = os.environ, patience: float = PATIENCE
) -> Done:
    """Run it; raises :exc:`Unavailable` when it is missing, :exc:`Refused` when it is too slow."""
    try:
        done = subprocess.run(
            command,
            env={**environment, "LC_ALL": "C", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=patience,
        )
    except OSError as error:
        raise Unavailable(f"cannot run {command[0]}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise Refused(f"`{' '.join(command)}` did not end within {patience:g} s") from error
    return Done(done.returncode, done.stdout, done.stderr)


def wait(look: Callable[[], bool], patience: float, problem: str, *, every: float = 0.1) -> None:
    """
    Look until it is so, with pauses of *every* seconds.

    Raises :exc:`Unavailable`, which says *problem*, when it is not after *patience* seconds.
    """
    deadline = time.monotonic() + patience
    while not look():
        if time.monotonic() > deadline:
            raise Unavailable(problem)
        _never.wait(every)
