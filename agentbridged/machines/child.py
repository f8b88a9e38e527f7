"""
Managed child: when a supervised process is started, adopted, given up on, or killed.

Pure. Every spawn gets a new generation; whatever is reported about an older one is about a process
that no longer matters, and changes nothing.

    STOPPED ──start──▶ STARTING ──ready──▶ RUNNING ──exit──▶ BACKOFF ──delay──▶ STARTING
       ▲   └──adopt──────────────────────────▲ │                └─ or, too often, FATAL
       └──────── STOPPING ◀──────stop──────────┘                (or EXITED, if that is enough)
"""

from __future__ import annotations

import enum
import signal
from dataclasses import dataclass
from typing import NewType

Generation = NewType("Generation", int)


class ChildState(enum.Enum):
    """Supervisor's vocabulary for a managed process; the values are what ``status`` prints."""

    STOPPED = "STOPPED"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    BACKOFF = "BACKOFF"
    STOPPING = "STOPPING"
    EXITED = "EXITED"
    """It ended by itself, without a failure, and is not wanted again."""
    FATAL = "FATAL"
    """It failed too often; only a new start tries again."""


STOPPED, STARTING, RUNNING, BACKOFF, STOPPING, EXITED, FATAL = ChildState

TRANSITIONS: dict[ChildState, frozenset[ChildState]] = {
    STOPPED: frozenset({STARTING, RUNNING}),
    STARTING: frozenset({RUNNING, BACKOFF, STOPPING, FATAL}),
    RUNNING: frozenset({BACKOFF, STOPPING, EXITED, FATAL}),
    BACKOFF: frozenset({STARTING, STOPPED}),
    STOPPING: frozenset({STOPPED}),
    EXITED: frozenset({STARTING, RUNNING}),
    FATAL: frozenset({STARTING, RUNNING}),
}
"""Every lawful move. The diagram in ARCHITECTURE.md is drawn from this table."""


@dataclass(frozen=True)
class RestartPolicy:
    """How patient to be with a child; all times in seconds."""

    start_timeout: float = 10.0
    """Until it is ready; then it is killed, which counts as a failure."""
    stop_timeout: float = 5.0
    """After each signal of a stop, before the next."""
    backoff: tuple[float, ...] = (0.2, 0.5, 1.0, 2.0, 5.0)
    """Before each restart; one failure more than these is FATAL."""
    steady_after: float = 5.0
    """Running that long forgives all earlier failures."""
    restart_on_success: bool = True
    """Whether a clean exit of its own is a failure too; else it leads to EXITED."""


@dataclass(frozen=True)
class Spawn:
    """Start the process, as this generation."""

    generation: Generation


@dataclass(frozen=True)
class Signal:
    """Send a signal to this generation; SIGKILL is meant for its whole process group."""

    generation: Generation
    signal: signal.Signals


Command = Spawn | Signal


class ManagedChild:
    """One supervised process through all its generations."""

    def __init__(
        self,
        policy: RestartPolicy,
        *,
        generation: int = 0,
        stop_signals: tuple[signal.Signals, ...] = (signal.SIGTERM,),
    ) -> None:
        self.policy = policy
        self.state = STOPPED
        self.generation = Generation(generation)
        """Of the newest incarnation; 0 before the first. It only ever grows."""
        self.failures = 0
        self.deadline: float | None = None
        self._stop_signals = stop_signals
        self._escalation: list[signal.Signals] = []

    def start(self, *, now: float) -> list[Command]:
        """Someone wants the child up."""
        if self.state not in (STOPPED, EXITED, FATAL):
            return []
        self.failures = 0
        return self._spawn(now)

    def adopt(self, generation: Generation, *, now: float) -> list[Command]:
        """One of this generation was found alive; an older one than known is not ours to adopt."""
        if self.state in (STOPPED, EXITED, FATAL) and generation >= self.generation:
            self.generation = generation
            self.failures = 0
            self._move(RUNNING)
        return []

    def ready(self, generation: Generation, *, now: float) -> list[Command]:
        """The child said it is ready."""
        if generation == self.generation and self.state is STARTING:
            steady = now + self.policy.steady_after if self.failures else None
            self._move(RUNNING, deadline=steady)
        return []

    def exited(self, generation: Generation, *, now: float, success: bool = False) -> list[Command]:
        """A process of ours ended; *success*: by itself and with status 0."""
        if generation != self.generation or self.state not in (STARTING, RUNNING, STOPPING):
            return []
        if self.state is STOPPING:
            self._move(STOPPED)
        elif self.state is RUNNING and success and not self.policy.restart_on_success:
            self._move(EXITED)
        elif self.failures == len(self.policy.backoff):
            self._move(FATAL)
        else:
            delay = self.policy.backoff[self.failures]
            self.failures += 1
            self._move(BACKOFF, deadline=now + delay)
        return []

    def stop(self, *, now: float) -> list[Command]:
        """Someone wants the child down."""
        if self.state is BACKOFF:
            self._move(STOPPED)
        if self.state not in (STARTING, RUNNING):
            return []
        self._move(STOPPING)
        self._escalation = [*self._stop_signals, signal.SIGKILL]
        return self._escalate(now)

    def expire(self, *, now: float) -> list[Command]:
        """Time passed."""
        if self.deadline is None or now < self.deadline:
            return []
        self.deadline = None
        if self.state is BACKOFF:
            return self._spawn(now)
        if self.state is RUNNING:
            self.failures = 0
            return []
        return self._escalate(now)  # late to start, or late to stop

    def _escalate(self, now: float) -> list[Command]:
        """Send the next, harder signal; the last is repeated, should it have been lost."""
        chosen = self._escalation.pop(0) if self._escalation else signal.SIGKILL
        self.deadline = now + self.policy.stop_timeout
        return [Signal(self.generation, chosen)]

    def _spawn(self, now: float) -> list[Command]:
        self._move(STARTING, deadline=now + self.policy.start_timeout)
        self._escalation = []
        self.generation = Generation(self.generation + 1)
        return [Spawn(self.generation)]

    def _move(self, state: ChildState, *, deadline: float | None = None) -> None:
        assert state in TRANSITIONS[self.state], f"{self.state} -> {state}"
        self.state, self.deadline = state, deadline
