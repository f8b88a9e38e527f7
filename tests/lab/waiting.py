"""The one place where tests wait by looking again: bounded, and saying what did not happen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds a test waits for an event before it fails: the machine may be slow and busy."""

_never = threading.Event()


class NeverHappened(AssertionError):
    """What was waited for did not come true in time."""


def until(
    look: Callable[[], T],
    what: str,
    *,
    within: float = PATIENCE,
    every: float = 0.05,
    explain: Callable[[], str] | None = None,
) -> T:
    """
    Look until *look* gives something true, and return that.

    *what* names the event for the failure message; *explain* adds the evidence to it. Raises
    :exc:`NeverHappened` after *within* seconds.
    """
    deadline = time.monotonic() + within
    while not (seen := look()):
        if time.monotonic() > deadline:
            evidence = f"\n{explain()}" if explain else ""
            raise NeverHappened(f"not within {within:g} s: {what}{evidence}")
        _never.wait(every)
    return seen
