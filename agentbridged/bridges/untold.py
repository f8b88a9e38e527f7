"""
What Claude is to be told of its messages, while no session is there to be told.

That a message was told of is kept with its tries; so a daemon that was killed before a session
came leaves to the next one what lacks it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from itertools import groupby

from agentbridged.bridges import words
from agentbridged.claude.session import Session
from agentbridged.errors import AgentBridgeError
from agentbridged.store.messages import Store
from agentbridged.store.rows import MessageRow
from agentbridged.wire.claude import Notice

log = logging.getLogger(__name__)

KEPT = frozenset({"paused", "turn", "failed"})
"""Kinds of news that a session is told of when it comes: what became of Claude's messages."""
MOST = 50
"""News that are kept for a session, the latest."""
FOR = 86_400.0
"""Seconds after which an earlier daemon's news are none."""

News = tuple[Notice, Sequence[str]]
"""What is told, and the ids of the messages that it tells of."""


class Untold:
    """One bridge's news for the session that is, or that comes."""

    def __init__(self, bridge: str, store: Store) -> None:
        self._store = store
        self._news = self._left_over(bridge)

    def tell(self, session: Session | None, notice: Notice, of: Sequence[str] = ()) -> bool:
        """Tell news, or keep some kinds until a session comes; whether they were told now."""
        if self._told(session, (notice, of)):
            return True
        if notice.kind in KEPT:
            self._news = [*self._news, (notice, of)][-MOST:]
        return False

    def tell_all(self, session: Session) -> None:
        """A session is here: tell it what waits."""
        self._news = [news for news in self._news if not self._told(session, news)]

    def drop(self, kind: str) -> None:
        """News of this kind are old."""
        self._news = [(notice, of) for notice, of in self._news if notice.kind != kind]

    def _told(self, session: Session | None, news: News) -> bool:
        notice, of = news
        if session is None or not session.notice(notice):
            return False
        try:
            for id in of:
                self._store.attempt(id, "told", "ok")
        except AgentBridgeError as error:  # at worst it is told again by the next daemon
            log.info("it is not kept that %s was told of: %s", ", ".join(of), error)
        return True

    def _left_over(self, bridge: str) -> list[News]:
        untold = self._store.untold(bridge, time.time() - FOR, MOST)
        return [
            self._news_of([*messages])
            for _, messages in groupby(untold, lambda m: m.id if m.state == "failed" else m.turn_id)
        ]

    def _news_of(self, messages: list[MessageRow]) -> News:
        """Word anew what was to be said of a message that failed, or of a turn's."""
        of = [message.id for message in messages]
        tries = self._store.attempts(of[-1])
        if messages[-1].state == "failed":
            reason = next((a.detail for a in reversed(tries) if a.step == "give up"), "")
            return Notice(kind="failed", text=words.failed(messages[-1], reason)), of
        status = next(a.result for a in reversed(tries) if a.step == "turn" and a.result != "ok")
        return Notice(kind="turn", text=words.turn_ended_badly(status, of)), of
