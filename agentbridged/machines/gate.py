"""
The seat gate: decides which Claude session holds the seat of one bridge.

Pure: no sockets, no clock, no tasks. The door tells the gate what happened and carries out the
commands it returns, in order. ``now`` is in seconds of any monotonic clock.

    Vacant ──arrive──▶ Held ──arrive──▶ Contested
      ▲                 │ ▲                │ │
      ├─depart, vanish──┤ ├─vouch, expire──┘ │
      └─release─────────┘ └─depart, vanish───┘

A newcomer is answered exactly once, with :class:`Seat` or :class:`Close`, unless it leaves first.
A holder that lives and answers loses the seat only to a person: by take-over, release or dismissal.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NewType, assert_never

from agentbridged.wire.close import CloseCode, fit_reason

SessionId = NewType("SessionId", int)

PROBE_TIMEOUT_S = 3.0
"""How long a holder may take to answer a ping when somebody else wants the seat."""


class Sign(enum.Enum):
    """What can be told of the holder, without asking it, when a newcomer arrives."""

    ALIVE = "its process lives"
    DEAD = "its process is gone"
    UNKNOWN = "nothing is known of its process"
    CLOSING = "its connection is closing"


@dataclass(frozen=True)
class Claim:
    """A session that wants the seat, and how it is named to others (``pid 42 since 10:03``)."""

    session: SessionId
    name: str


@dataclass(frozen=True)
class Vacant:
    """Nobody holds the seat."""


@dataclass(frozen=True)
class Held:
    """One session holds the seat."""

    holder: Claim


@dataclass(frozen=True)
class Contested:
    """A newcomer waits while the holder is asked whether it still lives."""

    holder: Claim
    newcomer: Claim
    deadline: float


State = Vacant | Held | Contested


@dataclass(frozen=True)
class Seat:
    """Give the seat to this session."""

    session: SessionId


@dataclass(frozen=True)
class Probe:
    """Ask this session for a sign of life until the deadline."""

    session: SessionId
    deadline: float


@dataclass(frozen=True)
class Close:
    """Close this session's connection; a holder has lost the seat by it."""

    session: SessionId
    code: CloseCode
    reason: str


Command = Seat | Probe | Close


class SeatGate:
    """The state of one bridge's seat, and the only rules by which it changes hands."""

    def __init__(self, *, probe_timeout: float = PROBE_TIMEOUT_S) -> None:
        self.probe_timeout = probe_timeout
        self.state: State = Vacant()

    @property
    def holder(self) -> SessionId | None:
        """The session that has the seat; it keeps it during a contest."""
        return None if isinstance(self.state, Vacant) else self.state.holder.session

    def arrive(
        self, newcomer: Claim, *, now: float, sign: Sign = Sign.UNKNOWN, take_over: bool = False
    ) -> list[Command]:
        """A session asks for the seat; *sign* is what can be told of the present holder."""
        match self.state:
            case Vacant():
                return self._seat(newcomer)
            case Held(holder) if take_over:
                return [_evict(holder, f"taken over by {newcomer.name}"), *self._seat(newcomer)]
            case Contested(holder, waiting) if take_over:
                evict = _evict(holder, f"taken over by {newcomer.name}")
                return [evict, _reject(waiting, newcomer), *self._seat(newcomer)]
            case Held(holder):
                return self._challenge(holder, newcomer, now, sign)
            case Contested(holder):
                return [_reject(newcomer, holder)]
            case unreachable:
                assert_never(unreachable)

    def _challenge(self, holder: Claim, newcomer: Claim, now: float, sign: Sign) -> list[Command]:
        match sign:
            case Sign.DEAD:
                return [_evict(holder, f"{holder.name}: {sign.value}"), *self._seat(newcomer)]
            case Sign.CLOSING:
                return [_reject(newcomer, holder)]
            case Sign.ALIVE | Sign.UNKNOWN:
                deadline = now + self.probe_timeout
                self.state = Contested(holder, newcomer, deadline)
                return [Probe(holder.session, deadline)]
            case unreachable:
                assert_never(unreachable)

    def vouch(self, session: SessionId) -> list[Command]:
        """A session gave a sign of life; a contested holder keeps the seat by it."""
        match self.state:
            case Contested(holder, newcomer) if session == holder.session:
                self.state = Held(holder)
                return [_reject(newcomer, holder)]
            case _:
                return []

    def depart(self, session: SessionId) -> list[Command]:
        """A session's connection is closed, or it gave the seat back."""
        match self.state:
            case Held(holder) if session == holder.session:
                self.state = Vacant()
                return []
            case Contested(holder, newcomer) if session == holder.session:
                return self._seat(newcomer)
            case Contested(holder, newcomer) if session == newcomer.session:
                self.state = Held(holder)
                return []
            case _:
                return []

    def vanish(self, session: SessionId) -> list[Command]:
        """A session's process ended; its connection may not know yet."""
        match self.state:
            case Held(holder) | Contested(holder) if session == holder.session:
                evict = _evict(holder, f"{holder.name}: {Sign.DEAD.value}")
                return [evict, *self.depart(session)]
            case Contested(holder, newcomer) if session == newcomer.session:
                return [_reject(newcomer, holder), *self.depart(session)]
            case _:
                return []

    def rename(self, claim: Claim) -> None:
        """A session is known by another name from now on."""
        match self.state:
            case Held(holder) if claim.session == holder.session:
                self.state = Held(claim)
            case Contested(holder, newcomer, deadline) if claim.session == holder.session:
                self.state = Contested(claim, newcomer, deadline)
            case _:
                pass

    def next_deadline(self) -> float | None:
        """When to call :meth:`expire`, or :obj:`None` if nothing is pending."""
        return self.state.deadline if isinstance(self.state, Contested) else None

    def expire(self, *, now: float) -> list[Command]:
        """Time passed; a contested holder that stayed silent loses the seat."""
        match self.state:
            case Contested(holder, newcomer, deadline) if now >= deadline:
                silent = f"{holder.name} did not answer for {self.probe_timeout:g} s"
                return [_evict(holder, silent), *self._seat(newcomer)]
            case _:
                return []

    def release(self, by: str) -> list[Command]:
        """A person takes the seat from its holder (*by* says who); a waiting newcomer gets it."""
        match self.state:
            case Held(holder) | Contested(holder):
                return [_evict(holder, f"seat released by {by}"), *self.depart(holder.session)]
            case _:
                return []

    def dismiss(self, code: CloseCode, reason: str) -> list[Command]:
        """Everybody goes, with this code: the bridge was switched off."""
        match self.state:
            case Vacant():
                return []
            case Held(holder):
                gone = [holder]
            case Contested(holder, newcomer):
                gone = [holder, newcomer]
            case unreachable:
                assert_never(unreachable)
        self.state = Vacant()
        return [Close(claim.session, code, fit_reason(reason)) for claim in gone]

    def _seat(self, claim: Claim) -> list[Command]:
        self.state = Held(claim)
        return [Seat(claim.session)]


def _reject(newcomer: Claim, holder: Claim) -> Close:
    return Close(newcomer.session, CloseCode.REJECTED, fit_reason(f"seat held by {holder.name}"))


def _evict(holder: Claim, why: str) -> Close:
    return Close(holder.session, CloseCode.EVICTED, fit_reason(why))
