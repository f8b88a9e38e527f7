"""
The threads a person has left that still hold something of ours.

Each is heard until it has answered, or a person has settled what it asks; what it said while
nobody heard it is read back. None of them holds up the bound thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from agentbridged.codex import thread as threads
from agentbridged.codex.client import AppServerClient
from agentbridged.codex.intake import Intake
from agentbridged.codex.looking import SLACK, is_for_now
from agentbridged.errors import CodexError, ProtocolError, Unavailable
from agentbridged.machines.relay_policy import Relay
from agentbridged.machines.turns import Looks
from agentbridged.wire import codex

log = logging.getLogger(__name__)

RETURN = 30.0
"""Seconds until a thread that could not be heard is tried again."""


class Earlier:
    """
    What is read back of threads that were left.

    *held*: news of threads whose past is being read; *go_on* takes in a thread's afterwards.
    """

    def __init__(
        self,
        intake: Intake,
        looks: Looks,
        held: dict[str, list[codex.Event]],
        go_on: Callable[[str], None],
    ) -> None:
        self._intake, self._looks = intake, looks
        self._held, self._go_on = held, go_on
        self._unfollowable: set[str] = set()
        """Threads that cannot be heard on this connection."""
        self._root = intake.owner.root
        self.again_at = 0.0
        """When the next try is due."""

    def forget(self) -> None:
        """The connection is new, or all is read back."""
        self._unfollowable.clear()
        self.again_at = 0.0

    async def owed(self, client: AppServerClient, thread_id: str, since: float) -> list[codex.Turn]:
        """Read back what a thread was asked since then, and what it said to that."""
        turns = [turn async for turn in threads.recent(client, thread_id, since - SLACK)][::-1]
        return self._looks.doubted(self._intake.owed(thread_id, turns))

    async def read_last(self, client: AppServerClient, thread_id: str) -> None:
        """Read back the thread that the bridge was on until nobody heard it: it is left now."""
        try:
            missed = await threads.turns_since(
                client, thread_id, self._intake.owner.cursor(thread_id) or ""
            )
        except CodexError as error:
            if is_for_now(error):
                raise
            log.info("%s: thread %s cannot be read back: %s", self._root, thread_id, error)
            return
        self._intake.catch_up(thread_id, self._looks.doubted(missed))

    async def keep_up(self, client: AppServerClient, here: set[str | None]) -> None:
        """Hear the earlier threads that hold something of ours, and let go of the others."""
        unsettled = self._intake.owner.unsettled()
        for thread_id in self._intake.earlier.keys() - unsettled.keys():
            del self._intake.earlier[thread_id]
            with suppress(CodexError):  # it may be closed already
                await threads.unsubscribe(client, thread_id)
        if asyncio.get_running_loop().time() < self.again_at:
            return
        for thread_id in unsettled.keys() - self._intake.earlier.keys() - self._unfollowable - here:
            try:
                await self._return_to(client, thread_id, unsettled[thread_id])
            except (Unavailable, CodexError) as error:  # the bound thread does not wait for it
                log.info("%s: thread %s is heard later: %s", self._root, thread_id, error)
                self._held.pop(thread_id, None)
                self._return_later(RETURN)

    def _return_later(self, seconds: float) -> None:
        self.again_at = asyncio.get_running_loop().time() + seconds

    async def _return_to(self, client: AppServerClient, thread_id: str, since: float) -> None:
        """Hear a thread that holds something of ours, and read back what it said since."""
        self._held[thread_id] = []
        try:
            thread = (await threads.subscribe(client, thread_id)).thread
            missed = await self.owed(client, thread_id, since)
        except (CodexError, ProtocolError) as error:
            self._held.pop(thread_id, None)
            if isinstance(error, CodexError) and is_for_now(error):
                raise
            log.warning("%s: cannot hear thread %s: %s", self._root, thread_id, error)
            self._unfollowable.add(thread_id)
            self._intake.delivery.recall()
            return
        if thread_id not in self._held:  # the connection ended
            return
        over = not thread.active and missed and not missed[-1].ended
        if over and (wait := self._looks.again(missed[-1].id)) is not None:
            self._held.pop(thread_id)  # its end is not told yet
            self._return_later(wait)
            return
        self._intake.earlier[thread_id] = Relay()
        self._intake.catch_up(thread_id, missed)
        self._go_on(thread_id)
        self._intake.delivery.recall()
        self._intake.owner.resumed(thread_id)
