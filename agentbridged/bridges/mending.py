"""
Brings the store back when it can be, and tells everybody how it is.

While something cannot be kept it is looked at every few seconds; the store's own next write looks
too. Whatever was missed is read back then.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from agentbridged.bridges import words
from agentbridged.bridges.registry import Bridges
from agentbridged.store import Store
from agentbridged.wire.admin import utc

RECHECK = 5.0
"""Seconds between looks; trouble that lasts less is told to nobody but those it refuses."""


class Mending:
    """The store's health, watched."""

    def __init__(self, store: Store, bridges: Bridges) -> None:
        self._store, self._bridges = store, bridges
        self._changed = asyncio.Event()
        self._mends = store.health.mends
        self._told_trouble = False
        self._told_loss = store.health.loss
        store.health.changed = self._changed.set

    def status(self) -> dict[str, Any]:
        """Return the ``store`` object of the admin API's ``status``."""
        health = self._store.health
        since = None if health.since is None else utc(health.since)
        return {**health.facts(), "since": since}

    async def run(self) -> None:
        """Watch, for ever."""
        health = self._store.health
        while True:
            self._changed.clear()
            if health.mends != self._mends:
                mends = health.mends
                self._bridges.mended()  # where it fails, all of it is done again
                self._mends = mends
                self._tell_mended()
            elif health.ok:
                await self._changed.wait()
            else:
                await self._rest()
                if not self._store.recheck():
                    self._tell_trouble()

    async def _rest(self) -> None:
        """Wait for the time of the next look; a write that succeeds meanwhile was one."""
        with suppress(TimeoutError):
            async with asyncio.timeout(RECHECK):
                while not self._store.health.ok:
                    await self._changed.wait()
                    self._changed.clear()

    def _tell_trouble(self) -> None:
        if not self._told_trouble:
            self._told_trouble = True
            self._tell(words.store(self._store.health))

    def _tell_mended(self) -> None:
        health = self._store.health
        if health.loss != self._told_loss:
            self._told_loss = health.loss
            self._tell(health.loss)
        elif self._told_trouble and health.ok:
            self._tell(words.STORE_MENDED)
        if health.ok:
            self._told_trouble = False

    def _tell(self, text: str) -> None:
        self._bridges.tell("store", self.status())
        for bridge in self._bridges:
            bridge.notice("store", text)
