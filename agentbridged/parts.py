"""
The daemon's parts: each runs for ever, and a fault of ours in one does not end the others.

Until :attr:`Parts.starting` is over, an error that is a person's to mend ends the start instead.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from agentbridged.errors import AgentBridgeError

log = logging.getLogger(__name__)

REPAIR = 5.0
"""Seconds before a part that failed is started again."""


class Parts:
    """What runs side by side in *group* until *ending* is set."""

    def __init__(self, group: asyncio.TaskGroup, ending: asyncio.Event) -> None:
        self._group, self._ending = group, ending
        self.starting = True

    def keep(self, name: str, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run one part, and again after a fault, until it returns."""
        self._group.create_task(self._kept(name, run), name=name)

    def once(self, name: str, run: Coroutine[Any, Any, None]) -> None:
        """Run what has an end of its own, and sees to its own faults."""
        self._group.create_task(run, name=name)

    async def pause(self, seconds: float) -> None:
        """Wait, but not past the end."""
        try:
            async with asyncio.timeout(seconds):
                await self._ending.wait()
        except TimeoutError:
            pass

    async def _kept(self, name: str, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while True:
            try:
                await run()
                return
            except AgentBridgeError as error:
                if self.starting:
                    raise
                log.error("%s: %s; it is tried again", name, error)
            except Exception:
                log.exception("%s failed; it is started again", name)
            await self.pause(REPAIR)
            if self._ending.is_set():
                return
