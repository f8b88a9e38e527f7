"""
The ladder to Claude: by which way a message goes to its session next.

Pure. A way that failed, or that led to no sign of the message, gives way to the next; what Claude
Code shows to have taken is waited for, and what the person holds back is left to them. Where
nothing can be proven a message is handed over once, and not again by itself.

    inbox ──▶ channel ──▶ hook at the end of a turn ──▶ read_messages, wait_for_message
      missing, failed, or no sign in an idle session       (always there, never by itself)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from agentbridged.wire.claude import Step

PATIENCE = 15.0
"""Seconds after which an idle session that shows no sign of a message did not get it."""
SETTLING = 3.0
"""Seconds Claude Code gets to show what came in: some tenths are normal (measured, 2.1.330)."""
HOOK_LIMIT = 3
"""How often the hook hands over one message: each time at the end of another turn."""

Sign = Literal["", "queued", "held", "shown"]
"""What is seen of a message that is not proven: it waits for the session to have time, or for the
person to let it in, or a part of it was shown and Claude knows how to get the rest."""


@dataclass
class Passage:
    """How far one message has come in this session."""

    handed: list[Step] = field(default_factory=list)
    at: float = 0.0
    """When it was handed over last."""
    sign: Sign = ""
    turns: int = 0
    """Turns that ended since."""
    failed: set[Step] = field(default_factory=set)
    """Ways that did not take it just now."""
    batch: str = ""
    """What it was handed over together with."""

    def hand(self, step: Step, *, now: float, batch: str = "") -> None:
        """It is handed over this way."""
        self.handed.append(step)
        self.at, self.batch, self.turns, self.sign = now, batch, 0, ""

    def fail(self, step: Step) -> None:
        """That way did not take it after all."""
        self.handed.remove(step)
        self.failed.add(step)


@dataclass(frozen=True)
class Ways:
    """What this session has: for each the reason why not, empty where it can be used."""

    inbox: str = ""
    channel: str = ""
    proof: str = ""
    """Why its transcript proves nothing."""
    idle: bool = False
    """Claude Code itself says that the session has nothing to do."""

    def lacks(self, step: Step) -> str:
        """Say why a step cannot be taken."""
        return {"inbox": self.inbox, "channel": self.channel}.get(step, "")


NO_TRANSCRIPT = "no transcript of this session is where it is looked for"
"""Why nothing is proven yet: there is none before a session's first turn."""
PUSHED: tuple[Step, ...] = ("inbox", "channel")
"""The ways that reach a session by themselves."""


def push(passage: Passage, ways: Ways, *, now: float) -> Step | None:
    """Return the way by which to push a message now, if there is one."""
    if passage.handed and not is_overdue(passage, ways, now=now):
        return None
    used = {*passage.handed, *passage.failed}
    if passage.handed and set(passage.handed) != {"inbox"}:
        return None
    return next((s for s in PUSHED if s not in used and not ways.lacks(s)), None)


def is_overdue(passage: Passage, ways: Ways, *, now: float) -> bool:
    """Whether an idle session shows no sign of what was handed to it, although it could."""
    waited = now - passage.at >= PATIENCE
    return bool(passage.handed) and waited and ways.idle and not ways.proof and not passage.sign


def may_repeat(passage: Passage, ways: Ways, *, now: float) -> bool:
    """
    Whether the hook would hand over again at *now* what Claude may have: its sign is waited for.

    A transcript lags behind its turn, and of a session's first turn it may not be there yet.
    """
    if not passage.handed or passage.sign in ("held", "shown"):
        return False
    late = bool(ways.proof) and not passage.sign and passage.turns <= 1
    return late or at_turn_end(passage, ways, now=now)


def at_turn_end(passage: Passage, ways: Ways, *, now: float) -> bool:
    """Whether the hook at a turn's end hands the message over."""
    if not passage.handed:
        return True
    if (
        ways.proof
        or passage.sign in ("held", "shown")
        or passage.handed.count("stop_hook") >= HOOK_LIMIT
    ):
        return False
    if passage.sign == "queued":
        return passage.turns > 1  # it begins the next turn, or has gone from the queue by then
    if "stop_hook" in passage.handed:
        return passage.turns > 0
    return now - passage.at >= SETTLING
