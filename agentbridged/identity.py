"""
Whether a process still is the one we know.

A pid alone proves nothing: it is given out again, and a zombie has one too. So a process is known
by its pid **and** when it started, on a clock that nobody sets; and a zombie counts as dead.
"""

from __future__ import annotations

import functools
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from agentbridged.descriptors import RESERVE

SAME_TIME: Final = 0.05
"""Seconds two readings of one start may differ, as they are rounded where they are written down."""

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_BETWEEN_BOOTS: Final = 1000.0


@dataclass(frozen=True)
class Identity:
    """Which process is meant; *create_time* in seconds, to be compared and not to be shown."""

    pid: int
    create_time: float


def identify(pid: int) -> Identity | None:
    """Return the identity of the live process that has this pid now; ``None`` for none."""
    return RESERVE.reading(lambda: _identify(pid))


def _identify(pid: int) -> Identity | None:
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
                return None
            return Identity(pid, started(process))
    except (psutil.Error, ValueError, OverflowError):
        return None


def started(process: psutil.Process) -> float:
    """
    Return when a process started: the same however often and by whoever it is asked.

    On Linux in seconds since the boot, plus a number that tells the boot from any other: the time
    of day that psutil makes of it moves with each step of the clock, as the kernel counts from the
    boot (proc(5), ``starttime``). On macOS the kernel keeps the time of day it had at the start.
    Raises :exc:`psutil.Error`.
    """
    if sys.platform == "linux":
        return _boot() + _ticks(process.pid) / os.sysconf("SC_CLK_TCK")
    else:
        return process.create_time()


def _ticks(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError) as error:
        raise psutil.NoSuchProcess(pid) from error
    # The second field is the program's name in brackets, which may hold anything.
    return int(stat[stat.rindex(b")") + 2 :].split()[19])


@functools.cache
def _boot() -> float:
    try:
        return int(_BOOT_ID.read_text(encoding="ascii")[:8], 16) * _BETWEEN_BOOTS
    except (OSError, ValueError):
        return 0.0


def is_alive(identity: Identity) -> bool:
    """Whether this very process lives."""
    found = identify(identity.pid)
    return found is not None and abs(found.create_time - identity.create_time) <= SAME_TIME


def is_stopped(identity: Identity) -> bool:
    """Whether this process stands still until somebody continues it (SIGSTOP, Ctrl-Z)."""
    try:
        status = RESERVE.reading(lambda: psutil.Process(identity.pid).status())
        return status == psutil.STATUS_STOPPED
    except psutil.Error:
        return False
