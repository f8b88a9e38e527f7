"""
Recovery: why a Claude session has no seat, what that means, and when to try again.

Pure. The shim's connection tells what happened and carries out what :meth:`Recovery.next` returns.
Bridge status, refusals and notices all take their words from :data:`RULES`.

    Asked ──▶ Trying ──seated──▶ Seated
      ▲         │ ended            │ ended
      │         ▼                  ▼
      ├──── Waiting (disconnected: back-off, for ever; due ──▶ Trying)
      ├──── Polling (killed: every 5 s, if the daemon lives ──▶ Trying)
      └──── Dormant (rejected, evicted, version: only a person's attach)
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from agentbridged.errors import START_DAEMON
from agentbridged.wire.close import CloseCode

FIRST_DELAY = 0.1
LONGEST_DELAY = 30.0
POLL_INTERVAL = 5.0
SETTLED = 5.0
"""Seconds a seat must be held before a loss counts as the first again, so a flapping daemon
is not hammered."""
FLAP = 3
"""Failures that are left by a seat held less long, at most: 0.8 s to the next attempt. The daemon
is there, if again and again a new one, and nothing is gained by waiting longer for it."""
NOTICE_INTERVAL = 30.0
GRACE = 10.0
"""Seconds a lost connection may take to come back before anybody is told: a restart of the daemon
is nobody's business."""


class Reason(enum.Enum):
    """Why there is no seat."""

    DISCONNECTED = "disconnected"
    KILLED = "killed"
    REJECTED = "rejected"
    EVICTED = "evicted"
    VERSION = "version"


class Retry(enum.Enum):
    """How a seat is sought again."""

    BACK_OFF = "back-off"
    POLL = "poll"
    NEVER = "never"


@dataclass(frozen=True)
class Rule:
    """One row of the table: what a reason means and what to do."""

    code: CloseCode | None
    retry: Retry
    default: str
    """What is said when the daemon gave no words of its own."""
    remedy: str


RULES: dict[Reason, Rule] = {
    Reason.DISCONNECTED: Rule(
        None,
        Retry.BACK_OFF,
        "the agentbridge daemon is not running",
        f"Start it with {START_DAEMON}; this session connects by itself.",
    ),
    Reason.KILLED: Rule(
        CloseCode.KILLED,
        Retry.POLL,
        "a person switched this bridge off",
        "After `agentbridgectl revive` this session connects by itself.",
    ),
    Reason.REJECTED: Rule(
        CloseCode.REJECTED,
        Retry.NEVER,
        "another Claude session holds this project's seat",
        "This session stays out. When the other has ended, or if the person wants this one in "
        "its place, call the tool `attach` (with take_over to evict the holder).",
    ),
    Reason.EVICTED: Rule(
        CloseCode.EVICTED,
        Retry.NEVER,
        "this session lost the seat to another",
        "This session stays out. Only if the person wants it back, call the tool `attach` "
        "(with take_over to evict the new holder).",
    ),
    Reason.VERSION: Rule(
        CloseCode.CONTRACT,
        Retry.NEVER,
        "daemon and plugin speak different versions",
        "Reinstall with `agentbridgectl plugin install`, restart the daemon, then restart "
        "Claude Code.",
    ),
}
"""The one table of reasons: close code, retry rule, words."""

_BY_CODE = {rule.code: reason for reason, rule in RULES.items() if rule.code is not None}


def reason_of(code: int | None) -> Reason:
    """Tell why a connection ended from its close code; all but four codes mean disconnected."""
    return next((r for known, r in _BY_CODE.items() if known == code), Reason.DISCONNECTED)


def explain(reason: Reason, detail: str = "") -> str:
    """Say in one line why there is no seat and what to do; *detail* is the daemon's own words."""
    rule = RULES[reason]
    said = (detail or rule.default).rstrip(".")
    prefix = "" if said.startswith(reason.value) else f"{reason.value}: "
    return f"{prefix}{said}. {rule.remedy}"


@dataclass(frozen=True)
class Asked:
    """An attempt is wanted at once."""

    take_over: bool = False


@dataclass(frozen=True)
class Trying:
    """An attempt is under way."""


@dataclass(frozen=True)
class Seated:
    """The seat is ours."""

    since: float


@dataclass(frozen=True)
class Waiting:
    """Disconnected; the next attempt is due at *until*."""

    until: float


@dataclass(frozen=True)
class Polling:
    """Killed; the daemon is looked for at *until*."""

    until: float


@dataclass(frozen=True)
class Dormant:
    """Nothing more is tried until a person asks."""


Phase = Asked | Trying | Seated | Waiting | Polling | Dormant

TRANSITIONS: dict[type[Phase], frozenset[type[Phase]]] = {
    Asked: frozenset({Asked, Trying}),
    Trying: frozenset({Seated, Waiting, Polling, Dormant}),
    Seated: frozenset({Waiting, Polling, Dormant}),
    Waiting: frozenset({Asked, Trying}),
    Polling: frozenset({Asked, Trying, Polling}),
    Dormant: frozenset({Asked}),
}
"""Every lawful move. The diagram in ARCHITECTURE.md is drawn from this table."""


@dataclass(frozen=True)
class Connect:
    """Connect and attach; answer with :meth:`Recovery.seated` or :meth:`Recovery.ended`."""

    take_over: bool


@dataclass(frozen=True)
class CheckDaemon:
    """Look whether the daemon's process lives; answer with :meth:`Recovery.daemon_checked`."""


@dataclass(frozen=True)
class Rest:
    """Do nothing until *until* (:obj:`None`: until something happens)."""

    until: float | None


Command = Connect | CheckDaemon | Rest


class Recovery:
    """Where one session stands with the daemon, and what it does about it."""

    def __init__(self, *, jitter: Callable[[], float]) -> None:
        """*jitter* gives numbers from 0 to 1, which shorten a delay by up to a half."""
        self._jitter = jitter
        self.phase: Phase = Asked()
        self.reason = Reason.DISCONNECTED
        """Why there is no seat; of no meaning while seated."""
        self.detail = "this session has only just started"
        self.failures = 0
        self.attempts = 0
        """Attempts that ended, ever: tells one outcome from the next."""

    @property
    def is_seated(self) -> bool:
        """Whether the seat is ours."""
        return isinstance(self.phase, Seated)

    @property
    def is_final(self) -> bool:
        """Whether waiting is no use: there is no seat, and the cause is no lost connection."""
        undecided = isinstance(self.phase, Asked | Trying) and self.reason is not Reason.KILLED
        return not self.is_seated and self.reason is not Reason.DISCONNECTED and not undecided

    def explain(self) -> str:
        """Say why there is no seat and what to do."""
        return explain(self.reason, self.detail)

    def next(self, *, now: float) -> Command:
        """Say what to do now."""
        match self.phase:
            case Asked(take_over):
                self._move(Trying())
                return Connect(take_over)
            case Waiting(until) if now >= until:
                self._move(Trying())
                return Connect(take_over=False)
            case Polling(until) if now >= until:
                return CheckDaemon()
            case Waiting(until) | Polling(until):
                return Rest(until)
            case Trying() | Seated() | Dormant():
                return Rest(None)
            case unreachable:
                assert_never(unreachable)

    def seated(self, *, now: float) -> None:
        """The daemon gave us the seat."""
        self._move(Seated(now))
        self.attempts += 1

    def ended(self, code: int | None, detail: str, *, now: float) -> None:
        """The connection closed with this code, or (:obj:`None`) could not be made or broke."""
        reason = reason_of(code)
        if isinstance(self.phase, Seated):
            settled = now - self.phase.since >= SETTLED
            self.failures = 0 if settled else min(self.failures, FLAP)
        else:
            self.attempts += 1
            # Switched off is what a person decided: that the daemon is away as well says no more.
            if reason is Reason.DISCONNECTED and self.reason is Reason.KILLED:
                self._move(Polling(now + POLL_INTERVAL))
                return
        self.reason, self.detail = reason, detail
        match RULES[reason].retry:
            case Retry.BACK_OFF:
                self._move(Waiting(now + self._delay()))
            case Retry.POLL:
                self._move(Polling(now + POLL_INTERVAL))
            case Retry.NEVER:
                self._move(Dormant())
            case unreachable:
                assert_never(unreachable)

    def daemon_checked(self, alive: bool, *, now: float) -> None:
        """The daemon's process was looked for."""
        if isinstance(self.phase, Polling):
            self._move(Polling(now + POLL_INTERVAL))
            if alive:
                self._move(Asked())

    def nudge(self) -> None:
        """Somebody wants to send: a lost connection is tried at once, and quickly after that."""
        if isinstance(self.phase, Waiting):
            self.failures = 0
            self._move(Asked())

    def ask(self, *, take_over: bool) -> None:
        """A person wants the seat: try now, whatever the reason was."""
        if not isinstance(self.phase, Seated | Trying):
            self.failures = 0
            self._move(Asked(take_over))

    def _delay(self) -> float:
        delay = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(self.failures, 30))
        self.failures += 1
        return delay * (1 - self._jitter() / 2)

    def _move(self, phase: Phase) -> None:
        assert type(phase) in TRANSITIONS[type(self.phase)], f"{self.phase} -> {phase}"
        self.phase = phase


@dataclass(frozen=True)
class News:
    """What the session is told about its connection: ``connected`` or a reason's word."""

    kind: str
    text: str


class Notices:
    """
    What is said about the connection, and when: at most once in 30 s, and only the latest.

    Nothing is kept for later: news that was overtaken, or that took itself back in time, is never
    told. The first seat is no news, and neither is having none at the start.
    """

    def __init__(self) -> None:
        self._told: str | None = None
        self._latest: News | None = None
        self._due: float | None = None
        self._earliest = float("-inf")

    def heard(self, news: News, *, now: float) -> None:
        """The connection changed."""
        if self._told is None:
            if news.kind == "connected":
                self._told = news.kind
            return
        if news.kind == self._told:
            self._latest = self._due = None
            return
        grace = GRACE if news.kind == Reason.DISCONNECTED.value else 0.0
        if self._latest is None or self._latest.kind != news.kind or self._due is None:
            self._due = max(now + grace, self._earliest)
        self._latest = news

    def known(self, kind: str) -> None:
        """The session learned this otherwise, by the answer to a call: it is no news any more."""
        self._told, self._latest, self._due = kind, None, None

    def next_deadline(self) -> float | None:
        """When to call :meth:`expire`, or :obj:`None` if there is nothing to tell."""
        return self._due

    def expire(self, *, now: float) -> News | None:
        """Time passed; returns what is to be told now, if anything."""
        if self._due is None or self._latest is None or now < self._due:
            return None
        news, self._latest, self._due = self._latest, None, None
        self._told, self._earliest = news.kind, now + NOTICE_INTERVAL
        return news
