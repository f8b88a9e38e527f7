"""
One bridge: a Claude seat and a Codex thread of one project, and the messages between them.

It introduces its two sides to each other and to the store. Whatever is said is a row on disk before
anybody is told of it; a row moves on when the next hand has it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from agentbridged.bridges import ways, words
from agentbridged.bridges.governing import Governing, Tripped
from agentbridged.bridges.ledger import Ledger, mail
from agentbridged.bridges.untold import Untold
from agentbridged.claude.session import Session
from agentbridged.codex.side import CodexSide
from agentbridged.config import Settings
from agentbridged.errors import Refused
from agentbridged.machines import governor, switch
from agentbridged.machines.relay_policy import Route
from agentbridged.machines.switch import Verb
from agentbridged.machines.turns import Waiting
from agentbridged.store.messages import Store
from agentbridged.store.rows import BridgeRow, Direction, MessageRow, Sender
from agentbridged.wire import claude
from agentbridged.wire.admin import utc

log = logging.getLogger(__name__)

DIGEST_AFTER = 15.0
"""Seconds that ``[STATUS]`` messages are gathered for."""
DIGEST_SIZE = 3
"""``[STATUS]`` messages that are not gathered further."""

Tell = Callable[[str, dict[str, Any]], None]


class Bridge:
    """One project's bridge; fulfils :class:`agentbridged.claude.server.Seatable`."""

    def __init__(
        self,
        row: BridgeRow,
        store: Store,
        settings: Callable[[], Settings],
        tell: Tell,
        resumed: Callable[[str], None] = lambda thread_id: None,
    ) -> None:
        self.id = row.id
        self.root_path = Path(row.root)
        self._store = store
        self._tell = tell
        self._session: Session | None = None
        self._pushed: set[str] = set()
        """Ids given to the present session: each goes to a session once."""
        self._greeted = False
        """Whether it was given what waited for it; nothing goes before that."""
        self._given_up = ""
        """Why there is no app-server and will be none by itself."""
        self._digest: list[MessageRow] = []
        self._digest_timer: asyncio.TimerHandle | None = None
        self._untold = Untold(row.id, store)
        self._governing = Governing(row.id, store, settings)
        self._ledger = Ledger(
            row,
            store,
            settings,
            arrived=self.arrived,
            notice=self.notice,
            resumed=resumed,
            person_spoke=self._governing.spoke,
        )
        self.codex = CodexSide(
            self._ledger, last_thread=row.thread_id, paused=row.state == "paused"
        )
        self._take_up()

    @property
    def root(self) -> str:
        """The project's root."""
        return str(self.root_path)

    @property
    def row(self) -> BridgeRow:
        """The bridge as it is kept."""
        return self._ledger.row

    # The Claude side

    def refusal(self) -> str | None:
        """Why nobody may attach, as the reason of close code 4003; ``None`` when one may."""
        row = self.row
        return words.killed(row) if row.state == "killed" else None

    def seated(self, session: Session) -> claude.Attached:
        """A session has the seat; what waits for it follows its answer."""
        if session is not self._session:  # the same one attaches again after a /clear
            self._session, self._pushed, self._greeted = session, set(), False
        self._store.mark_attached(self.id)
        pending = self._store.counts(self.id).to_claude
        asyncio.get_running_loop().call_soon(self._greet)
        self._event("seat", state="held", session_id=session.session_id, pid=session.claude_pid)
        self.codex.wake()
        return claude.Attached(
            bridge=self.id, root=self.root, codex=self._codex_status(), pending=pending
        )

    def _greet(self) -> None:
        self._greeted = True
        self.deliver()
        session = self._session
        if session is None:
            return
        self._untold.tell_all(session)
        if trouble := words.store(self._store.health):
            session.notice(claude.Notice(kind="store", text=trouble))
        if self._given_up:
            session.notice(claude.Notice(kind="app-server", text=self._given_up))

    def unseated(self, session: Session, why: str) -> None:
        """A session lost the seat or left; what it has not confirmed waits for the next."""
        if session is self._session:
            self._session = None
            self._event("seat", state="vacant", why=why)

    async def send(self, session: Session | None, send: claude.Send) -> claude.Sent:
        """Take a message of Claude's for Codex; it is on disk when this returns."""
        return self.accept(send, sender="claude")

    def accept(self, send: claude.Send, *, sender: Sender) -> claude.Sent:
        """Take a message for Codex; raises :exc:`Refused` while killed or paused."""
        message, created = self._keep(send, sender, "to_codex")
        if created:
            self._event("message", **brief(message))
            self.codex.accept(mail(message))
        note = words.whereabouts(self.codex, send, self._given_up) if created else words.DUPLICATE
        return claude.Sent(id=message.id, state=message.state, duplicate=not created, note=note)

    def accept_for_claude(self, send: claude.Send) -> claude.Sent:
        """Take a person's message for Claude; raises :exc:`Refused` while killed or paused."""
        message, created = self._keep(send, "person", "to_claude")
        if created:
            self._event("message", **brief(message))
            self._push([message])
        note = words.DUPLICATE if not created else words.for_claude(self._session is not None)
        return claude.Sent(id=message.id, state=message.state, duplicate=not created, note=note)

    def _keep(
        self, send: claude.Send, sender: Sender, direction: Direction
    ) -> tuple[MessageRow, bool]:
        """Keep what is said, unless it may not be: one message too many pauses the bridge."""
        self._only_while_active()
        if self._store.health.state == "memory":
            self._store.must_keep()  # before the block: this takes up another file
            self._only_while_active()  # it may know better
            self._take_up()  # what waited in it goes first
        try:
            with self._store.transaction():
                if send.person_at is not None:
                    self._governing.spoke_at(send.person_at)
                message, created = self._store.add(
                    bridge=self.id,
                    direction=direction,
                    sender=sender,
                    text=send.text,
                    idempotency_key=send.idempotency_key,
                    when_busy=send.when_busy,
                    start_thread=send.start_thread,
                )
                if created:
                    self._governing.crossed(message)
        except Tripped as tripped:  # nothing of it is kept
            self._tripped(tripped)
            raise Refused(words.refused(self.row), kind="paused") from None
        return message, created

    def _tripped(self, tripped: Tripped) -> None:
        log.warning("%s: the governor pauses: %s", self.id, tripped)
        self.switch("pause", by=governor.BY, reason=str(tripped))

    def delivered(self, session: Session, delivered: claude.Delivered) -> None:
        """The session's shim handed messages to Claude Code."""
        mine = self._mine(delivered.ids)
        with self._store.transaction():
            moved = self._store.advance(
                mine, "written", step=delivered.step, written_to=session.key
            )
            again = set(mine) - {message.id for message in moved}
            self._store.handed_over_again(again, step=delivered.step, written_to=session.key)
        for message in moved:
            self._event("message", **brief(message))

    def tried(self, session: Session, tried: claude.Tried) -> None:
        """A step of the ladder did not get messages through to Claude."""
        mine = self._mine(tried.ids)
        with self._store.transaction():
            for id in mine:
                self._store.attempt(id, tried.step, tried.result, tried.detail)

    def consumed(self, session: Session, consumed: claude.Consumed) -> None:
        """Messages are proven to have reached Claude's model."""
        mine = self._mine(consumed.ids)
        for message in self._store.advance(mine, "consumed", step=consumed.proof):
            self._event("message", **brief(message))
        # None of them is to be pushed again, and a session is long.
        self._pushed.difference_update(mine)

    async def interrupt(self, session: Session | None) -> dict[str, Any]:
        """Interrupt Codex's running turn; raises :exc:`Refused` when there is none."""
        self._only_while_active()
        turn_id = await self.codex.interrupt()
        if turn_id is None:
            raise Refused("nothing to interrupt: Codex runs no turn here", kind="idle")
        log.info("%s: turn %s interrupted by Claude", self.id, turn_id)
        return {"turn_id": turn_id}

    def _only_while_active(self) -> None:
        row = self.row
        if row.state != "active":
            raise Refused(words.refused(row), kind=row.state)

    def _mine(self, ids: Iterable[str]) -> list[str]:
        return [id for id in ids if (row := self._store.message(id)) and row.bridge == self.id]

    # To Claude

    def deliver(self) -> None:
        """Give the session what waits for it, in order: unconfirmed first, then the new."""
        if self._session is None or not self._greeted:
            return
        self._digest.clear()
        unconfirmed = self._store.unconfirmed(self.id, "to_claude")
        self._push([*unconfirmed, *self._store.undelivered(self.id, "to_claude")])

    def _push(self, messages: Iterable[MessageRow]) -> None:
        session = self._session
        if session is None or not self._greeted or self.row.state != "active":
            return
        for message in messages:
            if message.id in self._pushed:
                continue
            if not session.push(words.to_claude(message)):
                return
            self._pushed.add(message.id)

    def notice(self, kind: str, text: str, of: Sequence[str] = ()) -> bool:
        """
        Tell Claude news of the bridge, or some kinds when it comes; whether it was told now.

        *of* are the ids of the messages that it tells of: that it was told is kept with them.
        """
        self._event("notice", kind=kind, text=text)
        return self._untold.tell(self._session, claude.Notice(kind=kind, text=text), of)

    def codex_given_up(self, why: str) -> None:
        """Codex's app-server is given up, for this reason; "" when it is not."""
        new, self._given_up = why not in ("", self._given_up), why
        if new:
            self.notice("app-server", why)

    def arrived(self, message: MessageRow, route: Route) -> None:
        """Codex said something, and it is on disk; push what is to be pushed."""
        self._event("message", **brief(message))
        if message.state == "accepted":
            try:
                self._governing.crossed(message)
            except Tripped as tripped:  # it is kept, and comes when the bridge goes on
                self._tripped(tripped)
            self._digest.append(message)
            self._flush(at_once=route is Route.PUSH)

    def _flush(self, *, at_once: bool) -> None:
        """Push what is gathered: now, or when enough came or enough time went by."""
        if at_once or len(self._digest) >= DIGEST_SIZE:
            if self._digest_timer is not None:
                self._digest_timer.cancel()
                self._digest_timer = None
            gathered, self._digest = self._digest, []
            self._push(gathered)
        elif self._digest_timer is None:
            loop = asyncio.get_running_loop()
            self._digest_timer = loop.call_later(DIGEST_AFTER, self._digest_is_due)

    def _digest_is_due(self) -> None:
        self._digest_timer = None
        self._flush(at_once=True)

    def mended(self) -> None:
        """The store can keep again, or is another one: take up what is in it, and was missed."""
        self._take_up()
        self.codex.catch_up()
        self._pushed.clear()  # the session knows by its id what it was given
        self.deliver()

    def _take_up(self) -> None:
        for waiting in self._ledger.undelivered():
            self.codex.accept(waiting)

    # Steering

    def admits(self, verb: Verb) -> None:
        """Raise :exc:`Refused` when this may not be done to the bridge as it is."""
        row = self.row
        if switch.after(row.state, verb) is None:
            raise Refused(words.not_now(row, verb), kind=row.state)

    def switch(self, verb: Verb, *, by: str, reason: str) -> bool:
        """Kill, revive, pause or resume the bridge, for good; says whether that changed it."""
        before = self.row.state
        state = switch.after(before, verb)
        if state is None or state == before:
            return False
        row = self._store.set_bridge_state(self.id, state, by=by, reason=reason)
        log.info("%s: %s → %s by %s", self.id, before, state, by)
        self._event("bridge", state=state, by=by, reason=reason)
        if state == "paused":
            self.notice("paused", words.paused(row))
            self.codex.note.paused = True
        elif state == "active":
            self._untold.drop("paused")
            self._governing.spoke()
            self.codex.note.paused = False
            self.notice("active", words.ACTIVE)
            self.deliver()
        self.codex.wake()
        return True

    def status(self) -> dict[str, Any]:
        """Return this bridge's row of the admin API's ``status``."""
        row = self.row
        counts = self._store.counts(self.id)
        oldest = counts.oldest_undelivered
        session = self._session
        return {
            "id": self.id,
            "root": self.root,
            "state": row.state,
            "changed_by": row.changed_by,
            "changed_at": utc(row.changed_at) if row.changed_at else None,
            "reason": row.reason,
            "claude": session and ways.seat(session),
            "codex": self._codex_status(),
            "trouble": self._given_up or self.codex.trouble,
            "to_codex": counts.to_codex,
            "to_claude": counts.to_claude,
            "hops": self._governing.hops,
            "oldest_undelivered_s": None if oldest is None else max(0.0, time.time() - oldest),
        }

    def degraded(self) -> list[dict[str, Any]]:
        """Return what its Claude session lacks."""
        return ways.degraded(self.id, self._session)

    def _codex_status(self) -> dict[str, Any] | None:
        thread_id = self.codex.thread_id or (
            self.codex.binding.thread if self.codex.binding.live else None
        )
        if thread_id is None:
            return None
        turns = self.codex.turns
        waiting = turns.waiting
        return {
            "thread_id": thread_id,
            "status": turns.status.type,
            "turn_id": turns.turn_id,
            "waiting_on": waiting.on if waiting else None,
            "waiting_since": utc(self._waiting_since(thread_id, waiting)) if waiting else None,
            "tui": self.codex.binding.shown_by_tui,
        }

    def _waiting_since(self, thread_id: str, waiting: Waiting) -> float:
        """Return when the wait began, which may be before this daemon heard of it."""
        asked = (
            a.asked_at for a in self._store.open_approvals(self.id) if a.thread_id == thread_id
        )
        return min(asked, default=waiting.since)

    def _event(self, event: str, /, **details: Any) -> None:
        self._tell(event, {"bridge": self.id, **details})


def brief(message: MessageRow) -> dict[str, Any]:
    """Return what an event says of a message: never its text."""
    return {
        "id": message.id,
        "seq": message.seq,
        "direction": message.direction,
        "from": message.sender,
        "state": message.state,
        "turn_id": message.turn_id,
    }
