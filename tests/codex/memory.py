"""An owner of a Codex side that remembers in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from agentbridged.machines.delivery import Mail
from agentbridged.machines.relay_policy import Relayed, Route
from agentbridged.wire import codex


class Memory:
    """An owner that remembers in memory, and can be waited on."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ours: set[str] = set()
        self.cursors: dict[str, str] = {}
        self.said: dict[str, Relayed] = {}
        self.attempts: dict[str, dict[str, float]] = {}
        self.states: dict[str, str] = {}
        self.owing: dict[str, float] = {}
        """Threads that hold something of ours, and since when."""
        self.ended: list[str] = []
        """How each turn ended."""
        self.unanswered: list[str] = []
        """Turns that were told to have ended without an answer, apart from their end."""
        self.taken_once: list[Mail] = []
        """What the app-server took before it was lost."""
        self.turned: list[tuple[str, str, str]] = []
        """Message, step and reason of each step that did nothing."""
        self.words = 0
        """What a person typed in Codex."""
        self.news = asyncio.Event()

    def engaged(self) -> bool:
        return True

    def delivering(self) -> bool:
        return True

    def keeping(self) -> bool:
        return True

    def replies_only(self) -> bool:
        return False

    def is_ours(self, message_id: str) -> bool:
        return message_id in self.ours

    def cursor(self, thread_id: str) -> str | None:
        return self.cursors.get(thread_id)

    def last(self) -> str | None:
        return next(iter(self.cursors), None)

    def holds(self, thread_id: str, turn: codex.Turn) -> bool:
        ids = [item.clientId for item in turn.items if item.clientId]
        return any(thread_id in self.attempts.get(id, {}) for id in ids)

    def bound(self, thread_id: str, cursor: str) -> None:
        self.cursors = {thread_id: cursor}
        self.news.set()

    def relayed(self, thread_id: str, messages: Sequence[Relayed]) -> None:
        for message in messages:
            self.said.setdefault(message.item_id, message)
        self.news.set()

    def person_spoke(self, at: float | None) -> None:
        self.words += at is None

    def taken(self, message_id: str, turn_id: str) -> None:
        self._move(message_id, "consumed")

    def unsettled(self) -> dict[str, float]:
        self.news.set()
        return dict(self.owing)

    def turn_ended(self, thread_id: str, turn: codex.Turn) -> None:
        self.cursors[thread_id] = turn.cursor
        self.ended.append(turn.status)
        self.news.set()

    def noted(self, message_id: str, thread_id: str, turn: codex.Turn, *, cut: bool) -> None:
        self.unanswered += [turn.id] if cut else []
        self._move(message_id, "consumed")

    def resumed(self, thread_id: str) -> None:
        self.news.set()

    def attempting(self, message_id: str, step: str, thread_id: str) -> None:
        self.attempts.setdefault(message_id, {})[thread_id] = time.time()

    def tried(self, message_id: str) -> list[tuple[str, float]]:
        return list(self.attempts.get(message_id, {}).items())

    def kicked(self, message_id: str) -> bool:
        return False

    def unconfirmed(self) -> list[Mail]:
        return list(self.taken_once)

    def placed(self, message_id: str, step: str, thread_id: str) -> None:
        if self.states.get(message_id) != "consumed":
            self._move(message_id, "written")

    def turned_away(self, message_id: str, step: str, reason: str) -> None:
        self.turned.append((message_id, step, reason))
        self.news.set()

    def failed(self, message_id: str, reason: str) -> None:
        self._move(message_id, f"failed: {reason}")

    def _move(self, message_id: str, state: str) -> None:
        self.states[message_id] = state
        self.news.set()

    async def until(self, came: Callable[[], object]) -> None:
        async with asyncio.timeout(30):
            while not came():
                self.news.clear()
                await self.news.wait()

    def pushed(self) -> list[str]:
        return [m.text for m in self.said.values() if m.route is Route.PUSH]
