"""
What of a Codex thread reaches Claude, and when.

One :class:`Relay` follows one thread's items. Phase ``final_answer`` is pushed at once, and takes a
``partial_answer`` before it along; a message without a phase is pushed only if it was the last one
of its turn, at the turn's end; ``commentary`` is kept in history. A marker at the start of a text
overrides that: ``[IMPORTANT]`` pushes at once, ``[STATUS]`` is digested, ``[FYI]`` is history. What
we injected ourselves is never given back; what the person typed goes along with the answer it
started.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field

from agentbridged.wire import codex

PROMPT_LIMIT = 4000
"""Characters of what the person typed that go along with an answer."""

_MARKER = re.compile(r"\s*\[(IMPORTANT|STATUS|FYI)\]", re.IGNORECASE)


class Route(enum.Enum):
    """Where a message goes."""

    PUSH = "push"
    DIGEST = "digest"
    HISTORY = "history"


_PHASES = {
    "final_answer": Route.PUSH,
    "partial_answer": Route.DIGEST,
    "commentary": Route.HISTORY,
}
"""Any other phase, of a newer Codex, is as good as none."""


@dataclass(frozen=True)
class Relayed:
    """One message of Codex, and where it goes."""

    item_id: str
    turn_id: str
    text: str
    route: Route
    prompts: tuple[str, ...] = ()
    in_reply_to: str | None = None


@dataclass
class _Turn:
    """What is known of a turn while it runs."""

    candidate: codex.Item | None = None
    """The last message without a phase: an answer if nothing follows it."""
    prompts: list[str] = field(default_factory=list)
    """What the person typed and no pushed message has carried yet."""
    asked: str | None = None
    """Id of Claude's message in this turn."""
    heard: set[str] = field(default_factory=set)
    """Items taken in: a read-back and the live stream may both bring one."""


class Relay:
    """One thread's items, turned into messages for Claude."""

    def __init__(self) -> None:
        self._turns: dict[str, _Turn] = {}

    def item(
        self, turn_id: str, item: codex.Item, *, ours: bool, replies_only: bool
    ) -> list[Relayed]:
        """An item was completed; *ours*: it is a user message that we injected."""
        turn = self._turns.setdefault(turn_id, _Turn())
        if item.id in turn.heard:
            return []
        turn.heard.add(item.id)
        if item.type == "userMessage":
            if ours:
                turn.asked = item.clientId
            elif item.said:
                turn.prompts.append(item.said[:PROMPT_LIMIT])
            return []
        if item.type != "agentMessage" or not item.text.strip():
            return []
        route = self._route(item)
        if route is None:
            earlier, turn.candidate = turn.candidate, item
            return self._say(turn_id, turn, earlier, Route.HISTORY, replies_only)
        return self._say(turn_id, turn, item, route, replies_only)

    def ended(self, turn_id: str, *, completed: bool, replies_only: bool) -> list[Relayed]:
        """A turn ended: its last message without a phase is the answer, if it was completed."""
        turn = self._turns.pop(turn_id, _Turn())
        route = Route.PUSH if completed else Route.HISTORY
        return self._say(turn_id, turn, turn.candidate, route, replies_only)

    def forget(self) -> None:
        """Drop what is half heard: it will be read back whole."""
        self._turns.clear()

    @staticmethod
    def _route(item: codex.Item) -> Route | None:
        """Where the item goes; ``None`` when only the end of the turn can say."""
        if marked := _MARKER.match(item.text):
            return {"IMPORTANT": Route.PUSH, "STATUS": Route.DIGEST, "FYI": Route.HISTORY}[
                marked.group(1).upper()
            ]
        return _PHASES.get(item.phase or "")

    @staticmethod
    def _say(
        turn_id: str, turn: _Turn, item: codex.Item | None, route: Route, replies_only: bool
    ) -> list[Relayed]:
        if item is None:
            return []
        if replies_only and turn.asked is None:
            route = Route.HISTORY
        prompts: tuple[str, ...] = ()
        if route is not Route.HISTORY:
            prompts = tuple(turn.prompts)
            turn.prompts.clear()
        return [Relayed(item.id, turn_id, item.text, route, prompts, turn.asked)]
