"""
Forgets messages past the days that the user keeps them: never because the clock was set.

A message's age is known by the time of day alone, as machines are off for weeks. So nothing is
forgotten before the time of day has run steadily for a while.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from agentbridged.machines.steadiness import Steadiness
from agentbridged.store import Store

log = logging.getLogger(__name__)

STEADY = 3600.0
"""Seconds without a step of the clock before it is believed: time is set soon after a boot."""
EVERY = 6 * 3600.0
"""Seconds between looks for what is past its days."""


def since_boot() -> float:
    """Return the seconds since the boot, those in suspend included."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Forgetting:
    """What drops old messages; *keep_days* is asked each time, and 0 keeps all."""

    def __init__(
        self,
        store: Store,
        keep_days: Callable[[], int],
        *,
        wall: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = since_boot,
    ) -> None:
        self._store, self._keep_days = store, keep_days
        self._wall, self._elapsed = wall, elapsed
        self._steadiness = Steadiness()

    async def run(self) -> None:
        """Look again and again, for ever."""
        while True:
            wait = self.step()
            await asyncio.sleep(wait)

    def step(self) -> float:
        """Forget a batch if it is time to; return after how many seconds to look again."""
        steady = self._steadiness.observe(wall=self._wall(), elapsed=self._elapsed())
        if steady < STEADY:
            return STEADY - steady
        days = self._keep_days()
        if not days or not self._store.health.ok:
            return EVERY
        forgotten = self._store.prune(days)
        if not forgotten:
            return EVERY
        log.info("%d messages older than %d days were forgotten", forgotten, days)
        return 0  # a batch at a time, and others in between
