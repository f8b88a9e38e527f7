"""
The governor: whether two agents have gone on long enough without a person.

What it counts starts anew with every word of a person, on either side. Three things trip it, and
each is a sign of agents that only keep each other busy:

    hops        a message more than ``max_hops`` in a row that no person had a part in
    rate        a message more than ``max_per_minute`` within one minute
    identical   one side says the very same, :data:`REPEATS` times in a row

A hop is a message that one side is to be given, in either direction; what goes into history only
is none. The message that trips it is not delivered: of ``max_hops = 4``, four are. Pure; facts
survive a restart because they are counted again from what is kept.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

BY = "the governor"
"""Who paused the bridge, as it is kept and told."""
MINUTE = 60.0
REPEATS = 4
"""Times in a row that one side may not say the same."""

Direction = Literal["to_codex", "to_claude"]
Sign = Literal["hops", "rate", "identical"]


@dataclass(frozen=True)
class Hop:
    """A message that crosses the bridge; *at* in Unix seconds."""

    direction: Direction
    text: str
    at: float


@dataclass(frozen=True)
class Limits:
    """What a person allows agents that are left alone."""

    max_hops: int
    max_per_minute: int


@dataclass(frozen=True)
class Trip:
    """Why the bridge is to be paused."""

    sign: Sign
    reason: str
    """In words for people and agents."""


class Governor:
    """The hops of one bridge since a person's last word."""

    def __init__(self) -> None:
        self.spoke()

    def spoke(self) -> None:
        """A person had a word: count anew."""
        self.hops = 0
        """Hops since that word."""
        self._times: deque[float] = deque()
        self._said: dict[Direction, tuple[int, int]] = {}
        """Of each direction the latest text's hash, and how often in a row it came."""

    def judge(self, hop: Hop, limits: Limits) -> Trip | None:
        """Say whether this hop is one too many; changes nothing."""
        if self.hops >= limits.max_hops:
            return Trip("hops", f"{_many(self.hops, 'message')} in a row without a person's word")
        if (lately := self._within_a_minute(hop.at)) >= limits.max_per_minute:
            return Trip("rate", f"{_many(lately, 'message')} within a minute, none a person's")
        if self._repeats(hop) >= REPEATS:
            who = "Claude" if hop.direction == "to_codex" else "Codex"
            return Trip("identical", f"{who} said the same {REPEATS} times in a row")
        return None

    def count(self, hop: Hop) -> None:
        """This hop happened."""
        self._said[hop.direction] = (hash(hop.text.strip()), self._repeats(hop))
        self.hops += 1
        # A clock that was set back must not make old hops look like new ones.
        self._times = deque(at for at in self._times if 0 <= hop.at - at < MINUTE)
        self._times.append(hop.at)

    def _within_a_minute(self, now: float) -> int:
        return sum(0 <= now - at < MINUTE for at in self._times)

    def _repeats(self, hop: Hop) -> int:
        """Count how often in a row its side has said this, this time included."""
        before, times = self._said.get(hop.direction, (None, 0))
        return times + 1 if before == hash(hop.text.strip()) else 1


def _many(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
