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
from contextlib import suppress
from dataclasses import replace

from agentbridged.codex import thread as threads
from agentbridged.codex.client import AppServerClient
from agentbridged.codex.earlier import Earlier
from agentbridged.codex.intake import Intake
from agentbridged.codex.note import Note
from agentbridged.codex.owner import Owner
from agentbridged.codex.placing import facts, interrupt, place
from agentbridged.errors import (
    CodexError,
    ProtocolError,
    StoreUnavailable,
    Unavailable,
    UnknownMessage,
)
from agentbridged.machines.binding import Binding
from agentbridged.machines.delivery import RETRY, Delivery, Mail
from agentbridged.machines.relay_policy import Relay
from agentbridged.machines.turns import Looks, Turns
from agentbridged.wire import codex

log = logging.getLogger(__name__)


class CodexSide:
    """The Codex half of one bridge."""

    def __init__(self, owner: Owner, *, last_thread: str | None, paused: bool = False) -> None:
        self.owner = owner
        self.note = Note(paused=paused)
        self.binding = Binding(last_thread)
        self.turns = Turns()
        self.delivery = Delivery()
        self.thread_id: str | None = None
        """The thread we are subscribed to."""
        self.trouble = ""
        """Why the wanted thread cannot be had, for a person."""
        self._intake = Intake(owner, self.delivery)
        self._client: AppServerClient | None = None
        self._held: dict[str, list[codex.Event]] = {}
        """News of threads whose past is being read back: it is taken in afterwards."""
        self._looks = Looks()
        self._earlier = Earlier(self._intake, self._looks, self._held, self._go_on)
        self._suspects: set[str | None] = set()
        """Threads that may have lost what they held of ours; ``None``: all of them may have."""
        self._stuck = False
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
        """The app-server is there; what it had of ours it may have lost with its last process."""
        self._client = client
        self.delivery.reconnected()
        self._suspects.add(None)
        self.wake()

    def gone(self) -> None:
        """The app-server's connection ended."""
        self._client = None
        self._let_go()
        self._intake.relay.forget()
        self.binding.lost()

    def _let_go(self) -> None:
        """Be subscribed to nothing: all that matters is subscribed to anew, and read back."""
        self._wanted_before = self._wanted_before or self.thread_id is not None
        self.leave()
        self._held.clear()
        self._intake.earlier.clear()
        self._earlier.forget()

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
            self._no_more(event.threadId)
        elif isinstance(event, codex.ThreadGone):
            self.binding.forget(event.threadId)
            self._no_more(event.threadId)
            self._suspects.add(event.threadId)
        elif not isinstance(event, codex.ThreadStarted):
            self._hear(event.threadId, event)
        self.wake()

    def _no_more(self, thread_id: str) -> None:
        """Nothing is heard of this thread until somebody opens it again."""
        self._intake.earlier.pop(thread_id, None)
        self._held.pop(thread_id, None)
        if thread_id == self.thread_id:
            self.leave()

    def leave(self) -> None:
        """Let go of the bound thread: what its last turn swallowed is to be looked for."""
        if self.thread_id is not None and self.turns.swallowed:
            self._suspects.add(self.thread_id)
        self.thread_id, self.turns = None, Turns()

    def _raise_doubts(self) -> None:
        """Doubt what suspect threads hold of ours, which keeps its order."""
        if not self._suspects:
            return
        for mail in reversed(self.owner.unconfirmed()):
            if self._suspects & {thread_id for thread_id, _ in self.owner.tried(mail.id)}:
                self.delivery.doubt(replace(mail, steered=False))
            elif None in self._suspects:
                self.delivery.doubt(mail)
        self._suspects.clear()

    def follows(self, thread_id: str) -> bool:
        """Whether we asked to hear this thread: the bridge's own, or an earlier one."""
        return (
            thread_id == self.thread_id
            or thread_id in self._intake.earlier
            or thread_id in self._held
        )

    def hears_out(self, thread_id: str) -> bool:
        """Whether we hear a thread only for what it still owes us."""
        return thread_id != self.thread_id and self.follows(thread_id)

    def _hear(self, thread_id: str, event: codex.Event, *, late: bool = False) -> None:
        try:
            if thread_id in self._held:
                self._held[thread_id].append(event)
            elif thread_id == self.thread_id:
                self._take(event, late=late)
            elif thread_id in self._intake.earlier:
                self._take_earlier(thread_id, event)
        except StoreUnavailable as error:
            self._fall_behind(error)

    def _fall_behind(self, error: StoreUnavailable) -> None:
        """Keep nothing more until what could not be kept was read back: order and cursor hold."""
        if not self._intake.behind:
            log.warning("%s: Codex is heard later: %s", self.owner.root, error)
        self._intake.behind = True
        self.delivery.unsure()

    def catch_up(self) -> None:
        """The store can keep again, or is another: read back what it may lack."""
        self._intake.behind = True
        self.wake()

    def _take(self, event: codex.Event, *, late: bool) -> None:
        turn_id = codex.turn_of(event)
        # What was held may be older than what was read back: it tells of no later turn.
        if turn_id is not None and not late and self.turns.passed_over(turn_id):
            self.catch_up()
        match event:
            case codex.ItemCompleted(thread_id, turn_id, item):
                self.turns.showed(turn_id)
                self._intake.item(thread_id, turn_id, item)
            case codex.TurnStarted(_, turn):
                self.turns.started(turn.id)
            case codex.TurnCompleted(thread_id, turn):
                unheard = turn.status == "completed" and not self.turns.has_shown(turn.id)
                self.turns.ended(turn)
                if unheard:
                    self._note_silence(turn.id)
                else:
                    self._intake.ended(thread_id, turn)
                self.delivery.recall()
            case codex.ThreadStatusChanged(_, status):
                self.turns.report(status, now=time.time())
            case _:
                pass

    def _note_silence(self, turn_id: str) -> None:
        """A turn told none of its items: a Codex that tells otherwise, so it is read back."""
        if self._client is not None:
            what = f"turn {turn_id} ended, and told none of its items"
            self._client.note_misread("item/completed", what)
        self._intake.behind = True

    def _take_earlier(self, thread_id: str, event: codex.Event) -> None:
        match event:
            case codex.ItemCompleted(_, turn_id, item):
                self._intake.item(thread_id, turn_id, item)
            case codex.TurnCompleted(_, turn):
                self._intake.ended(thread_id, turn)
                self.delivery.recall()
                if turn.status != "completed":
                    self._suspects.add(thread_id)
            case _:
                pass

    # What is done about it

    async def run(self) -> None:
        """Do what there is to do, for ever; one step at a time."""
        while True:
            self._wake.clear()
            try:
                await self._settle()
            except (Unavailable, CodexError, ProtocolError) as error:
                log.info("%s: %s", self.owner.root, error)
                self._retry_later()
                if self._failures > len(RETRY):
                    self.trouble, self._stuck = str(error), True
            except StoreUnavailable as error:
                self._fall_behind(error)
                self._retry_later()
            await self._rest()

    def _retry_later(self) -> None:
        now = asyncio.get_running_loop().time()
        self._retry_at = now + RETRY[min(self._failures, len(RETRY) - 1)]
        self._failures += 1

    async def _rest(self) -> None:
        now = asyncio.get_running_loop().time()
        deadlines = (self._retry_at, self._earlier.again_at, self.delivery.next_deadline(now=now))
        # What is overdue waits for something else: without an app-server there is no retry.
        deadline = min((at for at in deadlines if at is not None and at > now), default=None)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                await self._wake.wait()

    async def _settle(self) -> None:
        loop = asyncio.get_running_loop()
        client = self._client
        if client is None or (self._retry_at is not None and loop.time() < self._retry_at):
            return
        self._retry_at = None
        self.delivery.unsure()  # a step that broke off
        if self._intake.behind and not self._begin_again():
            return
        self._raise_doubts()
        await self._bind(client)
        await self._earlier.keep_up(client, {self.thread_id, self.binding.thread})
        if self.thread_id is not None and not self.turns.active:
            await self.note.give(client, self.thread_id)
        while client is self._client and self._retry_at is None:
            step = self.delivery.plan(facts(self, client), now=loop.time())
            if step is None:
                self._goes_well()
                return
            try:
                await place(self, client, step)
            except UnknownMessage as error:
                log.warning("%s: went with a damaged file: %s", self.owner.root, error)
                self.delivery.unknown()
            self._raise_doubts()
            await self._bind(client)

    def _goes_well(self) -> None:
        self._failures = 0
        if self._stuck:
            self.trouble, self._stuck = "", False

    def _begin_again(self) -> bool:
        """Subscribe anew, which reads back what was missed; not before it can be kept."""
        if not self.owner.keeping():
            return False
        self._intake.behind = False
        self._let_go()
        return True

    @property
    def _wanted(self) -> str | None:
        """The thread to be subscribed to: the last one only when somebody needs it."""
        thread_id = self.binding.thread
        followed = self.owner.engaged() and (self.binding.live or self._wanted_before)
        needed = len(self.delivery) > 0 or thread_id in self.owner.unsettled()
        return thread_id if followed or needed else None

    async def _bind(self, client: AppServerClient) -> None:
        """Be subscribed to the wanted thread; a later switch that comes meanwhile wins."""
        while self._retry_at is None and (wanted := self._wanted) != self.thread_id:
            try:
                await self._switch(client, wanted)
                self.trouble = ""
            except (CodexError, ProtocolError) as error:
                self._cannot_follow(wanted, error)
            except Unavailable:
                self.leave()
                self._held.clear()
                raise

    def _cannot_follow(self, wanted: str | None, error: Exception) -> None:
        log.warning("%s: cannot follow thread %s: %s", self.owner.root, wanted, error)
        self.leave()
        self._held.clear()
        self.trouble = str(error)
        gone = ("not found", "no rollout", codex.ARCHIVED)
        if wanted is not None and any(words in self.trouble for words in gone):
            self.binding.forget(wanted)
        else:
            self._retry_later()

    async def _switch(self, client: AppServerClient, wanted: str | None) -> None:
        last = self.owner.last()
        if wanted is not None and last not in (None, wanted) and not self.follows(str(last)):
            await self._earlier.read_last(client, str(last))
        if self.thread_id is not None:  # it is let go of once nothing of ours is left there
            self._intake.earlier[self.thread_id] = self._intake.relay
        self.leave()
        self.thread_id, self._intake.relay = wanted, Relay()
        if wanted is None:
            return
        self._intake.relay = self._intake.earlier.pop(wanted, self._intake.relay)
        self._held[wanted] = []
        subscription = await threads.subscribe(client, wanted)
        known, since = self.owner.cursor(wanted), self.owner.unsettled().get(wanted)
        returns = known is None and since is not None  # it was on another thread meanwhile
        if returns:
            missed = await self._earlier.owed(client, wanted, since or 0.0)
            ended = [turn.cursor for turn in missed if turn.ended]
            cursor = ended[-1] if ended else subscription.cursor_before(missed[-1:])
        else:
            cursor = subscription.cursor if known is None else known
            missed = self._looks.doubted(await threads.turns_since(client, wanted, cursor))
        if self.thread_id != wanted or client is not self._client:
            return
        newest = missed[-1] if missed else subscription.newest
        self.turns.learned(subscription.thread, newest, now=time.time())
        self.turns.read_back(missed)
        self.owner.bound(wanted, cursor)
        self._intake.catch_up(wanted, missed, replies=returns)
        self._go_on(wanted)
        self.delivery.recall()
        self.owner.resumed(wanted)
        if self.turns.passed_over() and (wait := self._looks.again(missed[-1].id)) is not None:
            self.catch_up()
            self._retry_at = asyncio.get_running_loop().time() + wait

    def _go_on(self, thread_id: str) -> None:
        """A thread's past was read back: take in what was heard meanwhile."""
        for event in self._held.pop(thread_id, []):
            self._hear(thread_id, event, late=True)

    async def refresh(self, client: AppServerClient) -> None:
        """Read afresh what the thread does: what we believed was wrong."""
        if self.thread_id is not None:
            thread, newest = await threads.look(client, self.thread_id)
            self.turns.learned(thread, newest, now=time.time())

    async def interrupt(self) -> str | None:
        """Interrupt the running turn: see :func:`agentbridged.codex.placing.interrupt`."""
        return None if self._client is None else await interrupt(self, self._client)
