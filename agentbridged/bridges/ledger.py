"""
The ledger of one bridge's Codex side: what it must remember, kept in the store.

Fulfils :class:`agentbridged.codex.side.Owner`. Every entry is on disk before anybody is told.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from agentbridged.bridges import words
from agentbridged.config import Settings
from agentbridged.machines.delivery import Mail
from agentbridged.machines.relay_policy import Relayed, Route
from agentbridged.store.messages import Store, is_id
from agentbridged.store.rows import AttemptRow, BridgeRow, MessageRow
from agentbridged.wire import codex

log = logging.getLogger(__name__)

KICK = "kick"
"""Step of an attempt that was to start a paused queue too."""
DOUBT_FOR = 86_400.0
"""Seconds after which a message that Codex took, and has no more, was taken out by a person."""
SENDING = "sending"
"""Result of an attempt that was begun: its message may be there, whatever came after."""


def mail(message: MessageRow) -> Mail:
    """Return a message as it is delivered to Codex."""
    return Mail(
        id=message.id,
        text=words.to_codex(message),
        when_busy=message.when_busy,
        start_thread=message.start_thread,
    )


class Ledger:
    """What is known of one bridge's traffic with Codex."""

    def __init__(
        self,
        row: BridgeRow,
        store: Store,
        settings: Callable[[], Settings],
        *,
        arrived: Callable[[MessageRow, Route], None],
        notice: Callable[..., object],
        resumed: Callable[[str], None],
        person_spoke: Callable[[float | None], None],
    ) -> None:
        self.id = row.id
        self.root = Path(row.root)
        self._store = store
        self._settings = settings
        self._arrived = arrived
        self._notice = notice
        self._resumed = resumed
        self._person_spoke = person_spoke

    @property
    def row(self) -> BridgeRow:
        """The bridge as it is kept."""
        row = self._store.bridge(self.id)
        assert row is not None, f"bridge {self.id} is in the store"
        return row

    def engaged(self) -> bool:
        """Whether a Claude session was ever here."""
        return self.row.attached

    def delivering(self) -> bool:
        """Whether messages may go to Codex now: each attempt must be kept before it is made."""
        return self.row.state == "active" and self._store.health.ok

    def keeping(self) -> bool:
        """Whether what Codex says can be remembered, be it in memory alone."""
        return self._store.health.state != "refusing"

    def replies_only(self) -> bool:
        """Whether only turns that a message of Claude's started are relayed."""
        return self._settings().relay == "replies"

    def is_ours(self, message_id: str) -> bool:
        """
        Whether we sent a user message with this client id.

        One that looks like ours is, even if its row is in a file that cannot be read, or is lost:
        no person types it.
        """
        return is_id(message_id) or self._store.message(message_id) is not None

    def cursor(self, thread_id: str) -> str | None:
        """Return how far this thread was taken in; ``None`` when the bridge was on another."""
        row = self.row
        return row.cursor if row.thread_id == thread_id else None

    def last(self) -> str | None:
        """Return the thread that the bridge is on."""
        return self.row.thread_id

    def holds(self, thread_id: str, turn: codex.Turn) -> bool:
        """Whether a turn has a message that we gave to this very thread; a fork copies others."""
        ids = {message.id for message in self._store.by_turn(self.id, turn.id, "to_codex")}
        ids |= {item.clientId for item in turn.items if item.clientId}
        return any(thread_id == tried for id in ids for tried, _ in self.tried(id))

    def bound(self, thread_id: str, cursor: str) -> None:
        """The bridge is on this thread now."""
        row = self.row
        if row.thread_id == thread_id and row.cursor == cursor:
            return
        self._store.set_thread(self.id, thread_id, cursor)
        if row.thread_id != thread_id:
            log.info("%s: on thread %s, before on %s", self.id, thread_id, row.thread_id)
            if row.thread_id is not None:
                self._notice("thread", words.switched(thread_id))

    def relayed(self, thread_id: str, messages: Sequence[Relayed]) -> None:
        """Keep what Codex said: to be pushed, or for history alone."""
        if not messages:
            return
        row = self.row
        for said in messages:
            kept = said.route is Route.HISTORY or row.state == "killed" or not row.attached
            message, created = self._store.add(
                bridge=self.id,
                direction="to_claude",
                sender="codex",
                text=said.text,
                state="history" if kept else "accepted",
                thread_id=thread_id,
                turn_id=said.turn_id,
                item_id=f"{thread_id}:{said.item_id}",
                prompts=said.prompts,
                in_reply_to=said.in_reply_to,
            )
            if created:
                if kept and said.route is not Route.HISTORY:
                    why = "the bridge was killed" if row.attached else "no Claude was ever here"
                    self._store.attempt(message.id, "kept", "history", why)
                self._arrived(message, said.route)

    def person_spoke(self, at: float | None) -> None:
        """A person typed something in Codex: now, or in a turn that began at this Unix time."""
        self._person_spoke(at)

    def taken(self, message_id: str, turn_id: str) -> None:
        """A message of ours is part of this turn."""
        self._store.advance([message_id], "consumed", step="turn", turn_id=turn_id)

    def unsettled(self) -> dict[str, float]:
        """Return the threads that hold something of ours, each with the Unix time it is from."""
        questions = self._store.open_approvals(self.id)
        asked = {question.thread_id: question.asked_at for question in questions}
        return asked | self._store.unanswered(self.id)

    def turn_ended(self, thread_id: str, turn: codex.Turn) -> None:
        """A turn ended, and what it said was relayed."""
        if turn.status == "completed":
            ours = self._store.by_turn(self.id, turn.id, "to_codex")
            self._store.advance([m.id for m in ours], "answered", step="answer")
        else:
            self._tell_of(self._unanswered_in(turn), turn)
        if self.row.thread_id == thread_id:  # else it is one the bridge has left
            self._store.set_thread(self.id, thread_id, turn.cursor)

    def noted(self, message_id: str, thread_id: str, turn: codex.Turn, *, cut: bool) -> None:
        """A message is in the history, and no item shows it; *cut*: nor will its turn."""
        with self._store.transaction():
            self.placed(message_id, "queue", thread_id)
            self.taken(message_id, turn.id)
            asked = self._unanswered_in(turn) if cut else []
        self._tell_of(asked, turn)

    def _unanswered_in(self, turn: codex.Turn) -> list[str]:
        """Write down that no answer comes of a turn; return the questions of Claude's in it."""
        ours = self._store.by_turn(self.id, turn.id, "to_codex")
        news = [m for m in ours if not self._tried(m.id, "turn", turn.status)]
        with self._store.transaction():
            for message in news:
                self._store.attempt(message.id, "turn", turn.status)
        return [m.id for m in news if m.sender == "claude" and m.state == "consumed"]

    def _tell_of(self, asked: list[str], turn: codex.Turn) -> None:
        if asked:
            self._notice("turn", words.turn_ended_badly(turn.status, asked), asked)

    def resumed(self, thread_id: str) -> None:
        """We are subscribed, and have heard again all that the thread asks a person."""
        self._resumed(thread_id)

    def attempting(self, message_id: str, step: str, thread_id: str) -> None:
        """A message is about to be sent: from now on it may be there."""
        self._store.attempt(message_id, step, SENDING, thread_id)

    def tried(self, message_id: str) -> list[tuple[str, float]]:
        """Return the threads where a message may be, each with the Unix time of the attempt."""
        first: dict[str, float] = {}
        for sending in self._sendings(message_id):
            first.setdefault(sending.detail, sending.at)
        return list(first.items())

    def _sendings(self, message_id: str) -> list[AttemptRow]:
        """Return the attempts from which on a message may be there, in order."""
        return [a for a in self._store.attempts(message_id) if a.result == SENDING]

    def kicked(self, message_id: str) -> bool:
        """Whether a message was to start a queue that an interrupt had left paused."""
        return self._tried(message_id, KICK)

    def _tried(self, message_id: str, step: str, result: str | None = None) -> bool:
        return any(
            attempt.step == step and result in (None, attempt.result)
            for attempt in self._store.attempts(message_id)
        )

    def unconfirmed(self) -> list[Mail]:
        """Return the messages in Codex's hands that no turn has shown yet."""
        oldest = time.time() - DOUBT_FOR
        unconfirmed = self._store.unconfirmed(self.id, "to_codex")
        return [self._doubtful(message, oldest=oldest) for message in unconfirmed]

    def undelivered(self) -> list[Mail]:
        """Return the messages that nobody has taken yet, as far as we heard, in order."""
        undelivered = self._store.undelivered(self.id, "to_codex")
        return [self._doubtful(message, oldest=0.0) for message in undelivered]

    def _doubtful(self, message: MessageRow, *, oldest: float) -> Mail:
        """Return a message that may be there already; stale if it was sent before *oldest*."""
        sendings = self._sendings(message.id)
        if not sendings:
            return replace(mail(message), stale=message.changed_at < oldest)
        last = sendings[-1]
        given_to_a_turn = last.step in ("steer", "start")
        return replace(
            mail(message), doubtful=True, steered=given_to_a_turn, stale=last.at < oldest
        )

    def placed(self, message_id: str, step: str, thread_id: str) -> None:
        """A message is in Codex's hands."""
        self._store.advance([message_id], "written", step=step, detail=thread_id)

    def turned_away(self, message_id: str, step: str, reason: str) -> None:
        """A step did nothing; the message goes another way."""
        self._store.attempt(message_id, step, "not taken", reason)

    def failed(self, message_id: str, reason: str) -> None:
        """A message will not be delivered; Claude is told, as it was promised delivery."""
        for message in self._store.advance(
            [message_id], "failed", step="give up", result="refused", detail=reason
        ):
            log.warning("%s: message %s failed: %s", self.id, message.id, reason)
            self._notice("failed", words.failed(message, reason), [message.id])
