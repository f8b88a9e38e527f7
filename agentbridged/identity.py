"""
Whether a process still is the one we know.

A pid alone proves nothing: it is given out again, and a zombie has one too. So a process is known
by its pid **and** its create time, and a zombie counts as dead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import psutil

SAME_TIME: Final = 2.0
"""
Seconds two create times of one process may differ.

The kernel counts from boot, and the boot's wall-clock time moves with each correction of the
clock. Within so short a time a pid does not come round again.
"""


@dataclass(frozen=True)
class Identity:
    """Which process is meant; *create_time* in seconds since the epoch, as psutil tells it."""

    pid: int
    create_time: float


def identify(pid: int) -> Identity | None:
    """Return the identity of the live process that has this pid now; ``None`` for none."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
                return None
            return Identity(pid, process.create_time())
    except (psutil.Error, ValueError, OverflowError):
        return None


def is_alive(identity: Identity) -> bool:
    """Whether this very process lives."""
    found = identify(identity.pid)
    return found is not None and abs(found.create_time - identity.create_time) <= SAME_TIME


def is_stopped(identity: Identity) -> bool:
    """Whether this process stands still until somebody continues it (SIGSTOP, Ctrl-Z)."""
    try:
        return psutil.Process(identity.pid).status() == psutil.STATUS_STOPPED
    except psutil.Error:
        return False
