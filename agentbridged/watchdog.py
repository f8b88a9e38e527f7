"""
A watchdog of our own, for where the service manager has none (launchd).

A thread looks whether the event loop still makes progress. When it has not for long, the process
ends at once, so that its manager starts a new one; the children live on and are adopted.
"""

from __future__ import annotations

import faulthandler
import os
import threading
from collections.abc import Callable
from typing import Final

PERIOD: Final = 20.0
"""Seconds between signs of life, and between looks for one."""

MISSED: Final = 3
"""Looks in a row without a sign: one may come of a machine that slept."""


class OwnWatchdog:
    """Ends the process when :meth:`beat` is not called any more; *end* must not return."""

    def __init__(self, period: float = PERIOD, end: Callable[[], None] | None = None) -> None:
        self.period = period
        self._end = end or _end
        self._beats = 0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def beat(self) -> None:
        """The event loop makes progress; called from it, every :attr:`period` seconds."""
        self._beats += 1

    def close(self) -> None:
        """Stop watching."""
        self._closed.set()
        self._thread.join()

    def _watch(self) -> None:
        seen, missed = -1, 0
        while not self._closed.wait(self.period):
            missed = missed + 1 if self._beats == seen else 0
            seen = self._beats
            if missed >= MISSED:
                self._end()
                return


def _end() -> None:
    faulthandler.dump_traceback(all_threads=True)  # where it stands, for the log of the manager
    os._exit(1)
