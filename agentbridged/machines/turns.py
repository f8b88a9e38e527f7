"""
Turn truth: what one Codex thread does now, from what the app-server says of it.

There is no local "busy" flag that could get stuck. The thread's status is the last one reported;
a turn is known by its id; whatever contradicts them is corrected by the next report or read.

    UNKNOWN ──status──▶ IDLE ◀──status, turn/completed──▶ ACTIVE(turn, waiting for)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from agentbridged.wire import codex


def closed(turns: Sequence[codex.Turn]) -> list[codex.Turn]:
    """Return a thread's turns, oldest first; what another followed has ended, however listed."""
    followed = [t if t.ended else replace(t, status="interrupted") for t in turns[:-1]]
    return [*followed, *turns[-1:]]


class Looks:
    """What a list of turns that lags behind told before, and how often it was looked at."""

    PATIENCE = (0.5, 1.0, 2.0, 4.0, 8.0)
    """Seconds until the next look for a turn's end; after the last the list is left as it is."""

    def __init__(self) -> None:
        self._interrupted: set[str] = set()
        self._looks: dict[str, int] = {}

    def doubted(self, turns: Sequence[codex.Turn]) -> list[codex.Turn]:
        """
        Return turns, oldest first, the newest as running if it is interrupted only at first look.

        For a moment a turn that completes is listed so (measured, 0.169.0).
        """
        if not turns or turns[-1].status != "interrupted" or turns[-1].id in self._interrupted:
            return list(turns)
        self._interrupted.add(turns[-1].id)
        return [*turns[:-1], replace(turns[-1], status="inProgress")]

    def again(self, turn_id: str) -> float | None:
        """Return the seconds until a turn's end is to be looked for again; ``None``: never."""
        looks = self._looks.get(turn_id, 0)
        self._looks[turn_id] = looks + 1
        return self.PATIENCE[looks] if looks < len(self.PATIENCE) else None


@dataclass(frozen=True)
class Waiting:
    """An active thread waits for a person."""

    on: codex.Waiting
    since: float


class Turns:
    """The state of one thread."""

    def __init__(self) -> None:
        self.status = codex.ThreadStatus("notLoaded")
        self.turn_id: str | None = None
        self.waiting: Waiting | None = None
        self.interrupted = False
        """The last turn was interrupted, which pauses Codex's own queue (measured, 0.169.0)."""
        self.swallowed = ""
        """
        The latest turn that ended badly before it showed anything: what it was to answer is lost.

        It stays so when the next turn starts, which may be before anybody looks.
        """
        self._shown: str | None = None
        """The latest turn that showed an item."""
        self._over: str | None = None
        """The latest turn that ended."""
        self._read: frozenset[str] = frozenset()
        """The turns that were read back."""
        self._open: str | None = None
        """The last of them, if it was listed as running: its end must be told yet."""

    @property
    def active(self) -> bool:
        """Whether a turn runs, by the app-server's own word."""
        return self.status.type == "active"

    @property
    def opened(self) -> bool:
        """Whether the running turn has shown an item: the first is what it answers."""
        return self.turn_id is not None and self.turn_id == self._shown

    def report(self, status: codex.ThreadStatus, *, now: float) -> None:
        """The app-server said what the thread does."""
        self.status = status
        if not self.active and self.turn_id is not None:
            # Its end comes next, and says how. Until then: starting the queue never does harm,
            # but a message put into a paused one would wait for ever.
            self.turn_id, self.interrupted = None, True
        before = self.waiting
        on = codex.waiting_on(status) if self.active else None
        if on is None:
            self.waiting = None
        elif before is None or before.on != on:
            self.waiting = Waiting(on, now)

    def started(self, turn_id: str) -> None:
        """A turn started."""
        self.turn_id = turn_id
        self.interrupted = False
        if not self.active:
            self.status = codex.ThreadStatus("active")

    def begun(self, turn_id: str) -> None:
        """We started a turn: its first news may be on their way, or all of them past already."""
        if turn_id not in (self.turn_id, self._over):
            self.started(turn_id)

    def read_back(self, turns: Sequence[codex.Turn]) -> None:
        """These, oldest first, are the turns that had gone by unheard."""
        for turn in turns:
            if turn.items:
                self.showed(turn.id)
        self._read = frozenset(turn.id for turn in turns)
        self._open = turns[-1].id if turns and not turns[-1].ended else None

    def passed_over(self, turn_id: str | None = None) -> bool:
        """
        Whether a turn that was listed as running is over, and nobody told its end.

        The list lags behind for a moment, and a turn that an app-server took along when it was
        killed is listed so while the next one starts (measured, 0.169.0). It is seen by another
        turn's news (*turn_id*), or by the thread's being idle.
        """
        if self._open is None:
            return False
        return not self.active if turn_id is None else turn_id not in self._read

    def showed(self, turn_id: str) -> None:
        """A turn completed an item."""
        self._shown = turn_id

    def has_shown(self, turn_id: str) -> bool:
        """Whether a turn, the latest one, completed any item."""
        return turn_id == self._shown

    def ended(self, turn: codex.Turn) -> None:
        """A turn ended, in whatever way; another turn's end does not touch the running one."""
        self._over = turn.id
        if self._open == turn.id:
            self._open = None
        self.interrupted = turn.status == "interrupted"
        if turn.status != "completed" and turn.id != self._shown:
            self.swallowed = turn.id
        if self.turn_id in (turn.id, None):
            self.turn_id = None
            self.waiting = None
            self.status = codex.ThreadStatus("idle")

    def learned(self, thread: codex.Thread, newest: codex.Turn | None, *, now: float) -> None:
        """The thread was read afresh, with its newest turn, items and all where they were read."""
        self.report(thread.status, now=now)
        if newest is not None:
            self.interrupted = newest.status == "interrupted"
            if newest.ended and newest.status != "completed":
                self.swallowed = newest.id  # nobody heard what it showed: better look too often
            if newest.items:
                self._shown = newest.id
            if self.active and newest.status == "inProgress":
                self.turn_id = newest.id
