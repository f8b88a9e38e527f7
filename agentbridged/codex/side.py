"""
One bridge's Codex side: which thread, what it does, what reaches it and what comes of it.

The machines decide (binding, turns, relay, delivery); one task per bridge performs, a step at a
time, so that order is kept. What must be remembered is told to the :class:`Owner`, which has the
store. News from the app-server comes in through :meth:`CodexSide.heard`, never in a task.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress

from agentbridged.codex import thread as threads
from agentbridged.codex.client import AppServerClient
from agentbridged.codex.owner import Owner
from agentbridged.codex.placing import place
from agentbridged.errors import CodexError, ProtocolError, Unavailable
from agentbridged.machines.binding import Binding
from agentbridged.machines.delivery import RETRY, Delivery, Facts, Mail
from agentbridged.machines.relay_policy import Relay
from agentbridged.machines.turns import Turns
from agentbridged.wire import codex

log = logging.getLogger(__name__)


class CodexSide:
    """The Codex half of one bridge."""

    def __init__(self, owner: Owner, *, last_thread: str | None) -> None:
        self.owner = owner
        self.binding = Binding(last_thread)
        self.turns = Turns()
        self.delivery = Delivery()
        self.thread_id: str | None = None
        """The thread we are subscribed to."""
        self.trouble = ""
        """Why the wanted thread cannot be had, for a person."""
        self._relay = Relay()
        self._client: AppServerClient | None = None
        self._held: list[codex.Event] | None = None
        """News of the thread while its past is read back: it is taken in afterwards."""
        self._wake = asyncio.Event()
        self._failures = 0
        self._retry_at: float | None = None
        self._wanted_before = False

    @property
    def reachable(self) -> bool:
        """Whether the app-server is connected."""
        return self._client is not None

    # What happens

    def connected(self, client: AppServerClient) -> None:
        """The app-server is there."""
        self._client = client
        self.wake()

    def gone(self) -> None:
        """The app-server's connection ended."""
        self._client = None
        self._wanted_before = self._wanted_before or self.thread_id is not None
        self.thread_id = None
        self._held = None
        self._relay.forget()
        self.binding.lost()
        self.turns = Turns()

    def wake(self) -> None:
        """Something changed: look what is to be done."""
        self._wake.set()

    def accept(self, mail: Mail) -> None:
        """A message for Codex is on disk."""
        self.delivery.accept(mail)
        self.wake()

    def heard(self, event: codex.Event) -> None:
        """The app-server said something of this bridge's threads."""
        # No await in here: what is heard is decided on before anything else is heard.
        if isinstance(event, codex.ThreadClosed):
            self.binding.closed(event.threadId)
            if event.threadId == self.thread_id:
                self.thread_id = None
                self.turns = Turns()
        elif not isinstance(event, codex.ThreadStarted) and event.threadId == self.thread_id:
            if self._held is None:
                self._take(event)
            else:
                self._held.append(event)
        self.wake()

    def _take(self, event: codex.Event) -> None:
        match event:
            case codex.ItemCompleted(_, turn_id, item):
                self._item(turn_id, item)
            case codex.TurnStarted(_, turn):
                self.turns.started(turn.id)
            case codex.TurnCompleted(_, turn):
                self.turns.ended(turn)
                self._ended(turn)
            case codex.ThreadStatusChanged(_, status):
                self.turns.report(status, now=time.time())
            case _:
                pass

    def _item(self, turn_id: str, item: codex.Item) -> None:
        assert self.thread_id is not None
        ours = item.clientId is not None and self.owner.is_ours(item.clientId)
        if ours and item.clientId is not None:
            self.delivery.looked((item.clientId,), {item.clientId})
            self.owner.taken(item.clientId, turn_id)
        said = self._relay.item(turn_id, item, ours=ours, replies_only=self.owner.replies_only())
        self.owner.relayed(self.thread_id, said)

    def _ended(self, turn: codex.Turn) -> None:
        assert self.thread_id is not None
        said = self._relay.ended(
            turn.id,
            completed=turn.status == "completed",
            replies_only=self.owner.replies_only(),
        )
        self.owner.relayed(self.thread_id, said)
        self.owner.turn_ended(self.thread_id, turn)

    # What is done about it

    async def run(self) -> None:
        """Do what there is to do, for ever; one step at a time."""
        while True:
            self._wake.clear()
            try:
                await self._settle()
            except Unavailable as error:
                log.info("%s: %s", self.owner.root, error)
                self._retry_later()
            await self._rest()

    def _retry_later(self) -> None:
        now = asyncio.get_running_loop().time()
        self._retry_at = now + RETRY[min(self._failures, len(RETRY) - 1)]
        self._failures += 1

    async def _rest(self) -> None:
        now = asyncio.get_running_loop().time()
        deadlines = (self._retry_at, self.delivery.next_deadline(now=now))
        deadline = min((at for at in deadlines if at is not None), default=None)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                await self._wake.wait()

    async def _settle(self) -> None:
        loop = asyncio.get_running_loop()
        client = self._client
        if client is None or (self._retry_at is not None and loop.time() < self._retry_at):
            return
        self._retry_at = None
        await self._bind(client)
        while client is self._client:
            step = self.delivery.plan(self._facts(), now=loop.time())
            if step is None:
                return
            await place(self, client, step)
            await self._bind(client)

    def _facts(self) -> Facts:
        return Facts(
            reachable=self._client is not None and self.owner.delivering(),
            thread=self.thread_id is not None,
            active=self.turns.active,
            turn_id=self.turns.turn_id,
            interrupted=self.turns.interrupted,
        )

    @property
    def _wanted(self) -> str | None:
        """The thread to be subscribed to: the last one only when somebody needs it."""
        followed = self.owner.engaged() and (self.binding.live or self._wanted_before)
        return self.binding.thread if followed or len(self.delivery) > 0 else None

    async def _bind(self, client: AppServerClient) -> None:
        """Be subscribed to the wanted thread; a later switch that comes meanwhile wins."""
        while self._retry_at is None and (wanted := self._wanted) != self.thread_id:
            try:
                await self._switch(client, wanted)
                self._failures = 0
                self.trouble = ""
            except (CodexError, ProtocolError) as error:
                self._cannot_follow(wanted, error)
            except Unavailable:
                self.thread_id = self._held = None
                raise

    def _cannot_follow(self, wanted: str | None, error: Exception) -> None:
        log.warning("%s: cannot follow thread %s: %s", self.owner.root, wanted, error)
        self.thread_id = self._held = None
        self.trouble = str(error)
        if wanted is not None and "not found" in self.trouble:
            self.binding.forget(wanted)
        else:
            self._retry_later()

    async def _switch(self, client: AppServerClient, wanted: str | None) -> None:
        left, self.thread_id = self.thread_id, None
        self._relay.forget()
        if left is not None:
            with suppress(CodexError):  # it may be closed already
                await threads.unsubscribe(client, left)
        if wanted is None:
            return
        self.thread_id, self._held = wanted, []
        subscription = await threads.subscribe(client, wanted)
        known = self.owner.cursor(wanted)
        cursor = subscription.cursor if known is None else known
        missed = await threads.turns_since(client, wanted, cursor)
        if self.thread_id != wanted or client is not self._client:
            return
        self.turns = Turns()
        self.turns.learned(subscription.thread, subscription.newest, now=time.time())
        self.owner.bound(wanted, cursor)
        self.catch_up(missed)
        held, self._held = self._held or [], None
        for event in held:
            self._take(event)
        self.owner.resumed(wanted)

    def catch_up(self, missed: Sequence[codex.Turn]) -> None:
        """Take in turns that went by unheard; what was heard before changes nothing."""
        for turn in missed:
            for item in turn.items:
                self._item(turn.id, item)
            if turn.ended:
                self._ended(turn)

    async def refresh(self, client: AppServerClient) -> None:
        """Read afresh what the thread does: what we believed was wrong."""
        if self.thread_id is not None:
            status = (await threads.read(client, self.thread_id)).status
            self.turns.report(status, now=time.time())

    async def interrupt(self) -> str | None:
        """Interrupt the running turn; returns its id, or ``None`` when nothing runs."""
        turn_id = self.turns.turn_id
        if self._client is None or self.thread_id is None or turn_id is None:
            return None
        try:
            await threads.interrupt(self._client, self.thread_id, turn_id)
        except CodexError:
            await self.refresh(self._client)
            return None
        return turn_id
