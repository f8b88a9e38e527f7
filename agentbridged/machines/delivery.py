"""
Delivery to Codex: what to do next with the messages that wait for it.

The plan is derived from facts, never remembered: which thread can be reached, what it does now,
which messages wait, and which of them may already be there. One message is in hand at a time, so
order is kept. Whatever ends in doubt (a lost answer, a crash) is looked for before it is sent
again.

    waiting ──plan──▶ in hand ──placed, steered──▶ due ──shown by its turn──▶ gone
       ▲                 │ ├──refused──▶ failed      │
       ├──later──────────┘ └──lost──┐              its turn is over and did not show it
       │                            ▼                │
       └──found missing────────── in doubt ◀─────────┘
                                    │ ▲
       a turn of a thread that was  │ │ that turn is over, or
       left may show it yet         ▼ │ the connection is new
                                    left

A turn that is stopped forgets what it had not shown yet: a message that steered it, and even the
one that started it (measured, 0.169.0).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from agentbridged.wire.claude import WhenBusy

RETRY = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds to wait after the app-server said "later"; the last one repeats."""
LOOK_AGAIN = 2.0
"""
Seconds between two looks for a message: one that just left the queue is for a while neither there
nor in its turn, so only a second look proves it missing. That is milliseconds (measured, 0.169.0),
and longer on a busy machine whose app-server has only just started.
"""
INTERRUPT_PATIENCE = 30.0
"""Seconds an interrupted turn may take to end; past that the message is not injected."""
TAKEN_OUT = "it is neither in Codex's queue nor in a turn, and was put there more than a day ago"
"""Why a message is not sent again: a person may have taken it out there."""


@dataclass(frozen=True)
class Mail:
    """One message that waits for Codex."""

    id: str
    text: str
    when_busy: WhenBusy = "queue"
    start_thread: bool = False
    doubtful: bool = False
    """It may already be there."""
    steered: bool = False
    """It was given to a turn, which may show it late: only the turn's end proves it missing."""
    stale: bool = False
    """It was taken so long ago that it is not sent again, should it be missing."""


@dataclass(frozen=True)
class LookFor:
    """See which of these are in the thread's queue or turns."""

    ids: tuple[str, ...]


@dataclass(frozen=True)
class StartThread:
    """Start a thread: none is bound, and the sender asked for one."""

    id: str


@dataclass(frozen=True)
class Enqueue:
    """Put it into the thread's queue; *kick* starts it, as an interrupt left the queue paused."""

    mail: Mail
    kick: bool


@dataclass(frozen=True)
class StartTurn:
    """Start a turn on the idle thread: this Codex has no queue."""

    mail: Mail


@dataclass(frozen=True)
class Steer:
    """Add it to the running turn."""

    mail: Mail
    turn_id: str


@dataclass(frozen=True)
class Interrupt:
    """Interrupt the running turn; the message follows when it has ended."""

    mail: Mail
    turn_id: str


@dataclass(frozen=True)
class GiveUp:
    """Do not deliver it, for this reason."""

    id: str
    reason: str


Step = LookFor | StartThread | Enqueue | StartTurn | Steer | Interrupt | GiveUp


@dataclass(frozen=True)
class Facts:
    """What the thread is now, as far as a plan needs it."""

    reachable: bool
    """The app-server is connected, and messages may go there."""
    thread: bool
    """A thread is bound and subscribed."""
    active: bool = False
    turn_id: str | None = None
    interrupted: bool = False
    opened: bool = True
    """The running turn has shown what it answers: to stop it now loses nobody's message."""
    swallowed: str = ""
    """The latest turn that was stopped before it showed anything; also when the next one runs."""
    has_queue: bool = True
    """This Codex knows ``thread/queue/add``, or was not asked yet."""


class Delivery:
    """The messages of one bridge on their way to Codex."""

    def __init__(self) -> None:
        self._waiting: dict[str, Mail] = {}
        self._due: dict[str, Mail] = {}
        """In Codex's hands, and not yet shown by a turn."""
        self._left: dict[str, Mail] = {}
        """Given to a turn of a thread that was left, which may show them yet."""
        self.recalls = 0
        """How often a thread that was left told more."""
        self._missed: set[str] = set()
        """Looked for once since they came in doubt, and not found."""
        self._in_hand: str | None = None
        self._swallowed = ""
        """The last such turn whose loss was looked into: once is enough."""
        self._failures = 0
        self._not_before = 0.0
        self._interrupting: tuple[str, str, float] | None = None
        """For which message, which turn, and until when it may take to end."""

    def __len__(self) -> int:
        """Count what is not settled: what waits, and what steered a turn that did not show it."""
        steered = sum(mail.steered for mail in self._due.values())
        return len(self._waiting) + len(self._left) + steered

    def accept(self, mail: Mail) -> None:
        """A message was accepted, and is on disk."""
        if mail.id in self._left:
            return
        if mail.doubtful and mail.steered and mail.id not in self._waiting:
            self._due.setdefault(mail.id, mail)
        else:
            self._waiting.setdefault(mail.id, mail)

    def plan(self, facts: Facts, *, now: float) -> Step | None:
        """Return the next thing to do, or ``None``; report its outcome before the next plan."""
        if self._in_hand is not None or not facts.reachable:
            return None
        if facts.thread and not facts.active:
            self._doubt_forgotten(facts.swallowed)
        if not self._waiting:
            return None
        if now < self._not_before:
            return None
        step = self._next(facts, now)
        if step is not None and not isinstance(step, LookFor | GiveUp):
            self._in_hand = step.id if isinstance(step, StartThread) else step.mail.id
        return step

    def _doubt_forgotten(self, swallowed: str) -> None:
        """No turn runs: what the last one should have shown is looked for, first of all."""
        new_loss, self._swallowed = swallowed != self._swallowed, swallowed
        doubt_all = bool(swallowed) and new_loss
        forgotten = {m.id: m for m in self._due.values() if m.steered or doubt_all}
        for id in forgotten:
            del self._due[id]
        self._look_again(forgotten)

    def _look_again(self, mails: dict[str, Mail]) -> None:
        """Put these in doubt, before any other."""
        self._missed -= mails.keys()
        again = {id: replace(m, when_busy="queue", doubtful=True) for id, m in mails.items()}
        self._waiting = again | self._waiting

    def _next(self, facts: Facts, now: float) -> Step | None:
        first = next(iter(self._waiting.values()))
        if not facts.thread:
            asked = next((m for m in self._waiting.values() if m.start_thread), None)
            return StartThread(asked.id) if asked else None
        doubtful = tuple(m.id for m in self._waiting.values() if m.doubtful)
        if doubtful:
            # A turn that has yet to show what it answers may be about to show one of them.
            return LookFor(doubtful) if facts.opened or not facts.active else None
        if first.stale:
            self._drop(first.id)
            return GiveUp(first.id, TAKEN_OUT)
        if facts.active and first.when_busy == "interrupt":
            return self._interrupt(first, facts, now)
        if facts.active and first.when_busy == "steer":
            return Steer(first, facts.turn_id) if facts.turn_id else None
        if facts.has_queue:
            return Enqueue(first, kick=facts.interrupted and not facts.active)
        return None if facts.active else StartTurn(first)

    def _interrupt(self, mail: Mail, facts: Facts, now: float) -> Step | None:
        if self._interrupting is not None and self._interrupting[0] == mail.id:
            _, turn_id, patience = self._interrupting
            if facts.turn_id not in (None, turn_id):  # it is over: the next is another's
                self.not_active(mail.id)
                return self._next(facts, now)
            if now < patience:
                return None
            self._drop(mail.id)
            return GiveUp(mail.id, "the running turn did not end after the interrupt")
        if facts.turn_id is None or not facts.opened:
            return None
        self._interrupting = (mail.id, facts.turn_id, now + INTERRUPT_PATIENCE)
        return Interrupt(mail, facts.turn_id)

    def next_deadline(self, *, now: float) -> float | None:
        """When to plan again although nothing happened."""
        times = [self._not_before] if self._waiting else []
        if self._interrupting is not None and self._interrupting[0] in self._waiting:
            times.append(self._interrupting[2])
        return min((at for at in times if at > now), default=None)

    # Outcomes of the step in hand

    def placed(self, id: str) -> None:
        """It is there: the app-server said so."""
        self._hand_over(id, steered=False)

    def steered(self, id: str) -> None:
        """A turn took it."""
        self._hand_over(id, steered=True)

    def _hand_over(self, id: str, *, steered: bool) -> None:
        mail = self._waiting.get(id)
        self._drop(id)
        self._failures = 0
        if mail is not None:  # else the turn was quicker to show it
            self._due[id] = replace(mail, doubtful=False, steered=steered, stale=False)

    def is_steered(self, id: str) -> bool:
        """Whether a message in doubt was added to a turn, which may yet show it."""
        return id in self._waiting and self._waiting[id].steered

    def interrupted(self, id: str) -> None:
        """The interrupt was accepted; the message waits for the turn's end."""
        self._release(id)

    def refused(self, id: str) -> None:
        """The app-server will never take it."""
        self._drop(id)

    def later(self, id: str, *, now: float) -> None:
        """The app-server is overloaded, or the thread not ready: nothing was done."""
        self._release(id)
        self._forget_interrupt(id)
        self._not_before = now + RETRY[min(self._failures, len(RETRY) - 1)]
        self._failures += 1

    def not_active(self, id: str) -> None:
        """There was no such turn to steer or interrupt: the message goes the plain way."""
        self._release(id)
        self._interrupting = None
        if id in self._waiting:
            self._waiting[id] = replace(self._waiting[id], when_busy="queue")

    def lost(self, id: str, *, steered: bool = False) -> None:
        """The answer was lost: it may be there or not."""
        self._release(id)
        self._forget_interrupt(id)
        if id in self._waiting and steered:
            self._due[id] = replace(self._waiting.pop(id), steered=True)
        elif id in self._waiting:
            self._missed.discard(id)
            self._waiting[id] = replace(self._waiting[id], doubtful=True)

    def unsure(self) -> None:
        """What is in hand may be there or not: nobody could write down what came of it."""
        if self._in_hand is not None:
            self.lost(self._in_hand)

    def unknown(self) -> None:
        """What is in hand is in no book of ours any more."""
        if self._in_hand is not None:
            self._drop(self._in_hand)

    def thread_started(self, id: str) -> None:
        """The thread that was asked for is there, or will not be; plan again."""
        self._release(id)

    def found(self, id: str) -> None:
        """A turn shows it."""
        self._drop(id)

    def looked(
        self,
        asked: tuple[str, ...],
        found: set[str],
        *,
        left: Collection[str] = (),
        opened: bool = True,
        now: float,
    ) -> None:
        """
        These were looked for, and those are shown by a turn; what is missing twice is sent.

        *left*: a turn of a thread that was left may show them yet. *opened*: no turn began
        meanwhile that has yet to show what it answers.
        """
        for id in asked:
            mail = self._waiting.get(id)
            if id in found:
                self._drop(id)
            elif mail is None:
                continue
            elif id in left:
                self._left[id] = self._waiting.pop(id)
            elif not opened:
                continue
            elif id in self._missed:
                self._missed.discard(id)
                self._waiting[id] = replace(mail, doubtful=False, steered=False)
            else:
                self._missed.add(id)
                self._not_before = now + LOOK_AGAIN

    def recall(self) -> None:
        """A thread that was left tells more now: look again for what its turn might show."""
        self.recalls += 1
        left, self._left = self._left, {}
        self._look_again(left)

    def reconnected(self) -> None:
        """It may be another process: what is known of the last one counts for nothing."""
        self._missed.clear()
        self.recall()

    def doubt(self, mail: Mail) -> None:
        """A message that Codex had taken may be lost: it is looked for before any other."""
        for mails in (self._due, self._left):
            mails.pop(mail.id, None)
        self._missed.discard(mail.id)
        if mail.steered and mail.id not in self._waiting:
            self._due[mail.id] = mail
        elif mail.id not in self._waiting:
            self._waiting = {mail.id: replace(mail, doubtful=True)} | self._waiting

    def unknown_queue(self, id: str) -> None:
        """This Codex has no queue, as the next facts tell."""
        self._release(id)

    def _release(self, id: str) -> None:
        if self._in_hand == id:
            self._in_hand = None

    def _drop(self, id: str) -> None:
        self._release(id)
        for mails in (self._waiting, self._due, self._left):
            mails.pop(id, None)
        self._missed.discard(id)
        self._forget_interrupt(id)

    def _forget_interrupt(self, id: str) -> None:
        """It is not known that a turn was interrupted for this one."""
        if self._interrupting is not None and self._interrupting[0] == id:
            self._interrupting = None
