"""
The approvals ledger: what Codex asked a person, and what became of it.

An approval is known by the app-server that asked and the request's id, JSON type included; when
that app-server ends, its approvals are orphaned, and a late answer reaches nobody. No timer drops
one. The app-server asks anew after each resume, so a question asked again is no news, an answer
that was kept is sent then, and what is not asked again was settled meanwhile.

    PENDING ──answer──▶ ANSWERED ──settle──▶ RESOLVED
       ├──────────────settle──────────────────▲
       └──end of the app-server──▶ ORPHANED ◀── from ANSWERED too
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import Any

from agentbridged.errors import Refused
from agentbridged.wire.jsonrpc import Id


class ApprovalState(enum.Enum):
    """Where an approval is; the values are kept and shown."""

    PENDING = "pending"
    ANSWERED = "answered"
    """A person answered here; Codex has not confirmed it yet."""
    RESOLVED = "resolved"
    ORPHANED = "orphaned"


PENDING, ANSWERED, RESOLVED, ORPHANED = ApprovalState

TRANSITIONS: dict[ApprovalState, frozenset[ApprovalState]] = {
    PENDING: frozenset({ANSWERED, RESOLVED, ORPHANED}),
    ANSWERED: frozenset({RESOLVED, ORPHANED}),
    RESOLVED: frozenset(),
    ORPHANED: frozenset(),
}
"""Every lawful move. The diagram in ARCHITECTURE.md is drawn from this table."""

OPEN = frozenset({PENDING, ANSWERED})

IN_CODEX = "Codex"
"""Who answered, where it was a person in Codex itself, or Codex that needed it no more."""


@dataclass(frozen=True)
class Question:
    """What the app-server asked; *server* names the very process."""

    server: str
    request_id: Id
    thread_id: str
    method: str

    @property
    def key(self) -> tuple[str, str, Id]:
        """What tells it from any other; ``6`` and ``"6"`` are two."""
        return (self.server, type(self.request_id).__name__, self.request_id)


@dataclass(frozen=True)
class Approval:
    """One question and its fate; times are Unix seconds."""

    id: str
    question: Question
    state: ApprovalState = PENDING
    result: dict[str, Any] | None = None
    """The answer as the app-server takes it."""
    answered_by: str = ""
    answered_at: float | None = None


@dataclass(frozen=True)
class Tell:
    """Tell people and Claude of a new question."""

    id: str


@dataclass(frozen=True)
class SendAnswer:
    """Send this result to the app-server, as the answer to this request."""

    id: str
    request_id: Id
    result: dict[str, Any]


@dataclass(frozen=True)
class Keep:
    """The approval changed: keep it."""

    approval: Approval


Command = Tell | SendAnswer | Keep


class ApprovalLedger:
    """The open approvals of all app-servers; what is settled is in the store alone."""

    def __init__(self) -> None:
        self._open: dict[str, Approval] = {}
        self._server: str | None = None
        self._heard: set[str] = set()
        """Approvals asked on the present connection."""
        self._unsent: set[str] = set()
        """Approvals whose answer was never sent: what settles them was said in Codex."""

    def restore(self, approval: Approval) -> None:
        """An open approval was found in the store, at the start."""
        self._open[approval.id] = approval

    def known(self, question: Question) -> Approval | None:
        """Return the open approval of this question."""
        return next((a for a in self._open.values() if a.question.key == question.key), None)

    def connected(self, server: str) -> list[Command]:
        """An app-server is there: the open approvals of any other one are orphaned."""
        self._server = server
        self._heard.clear()
        return [
            self._move(approval, ORPHANED)
            for approval in list(self._open.values())
            if approval.question.server != server
        ]

    def disconnected(self) -> None:
        """The connection ended; the app-server may be back, and asks anew then."""
        self._server = None
        self._heard.clear()

    def asked(self, id: str, question: Question) -> list[Command]:
        """The app-server asks; *id* is for a question not known yet."""
        if question.server != self._server:
            return []
        approval = self.known(question)
        if approval is None:
            approval = Approval(id, question)
            self._open[id] = approval
            self._heard.add(id)
            return [Keep(approval), Tell(id)]
        self._heard.add(approval.id)
        if approval.state is ANSWERED and approval.result is not None:
            self._unsent.discard(approval.id)
            return [SendAnswer(approval.id, question.request_id, approval.result)]
        return []

    def answer(self, id: str, result: dict[str, Any], *, by: str, now: float) -> list[Command]:
        """A person answers; raises :exc:`Refused` when it is not open any more, or answered."""
        approval = self._open.get(id)
        if approval is None:
            raise Refused(f"approval {id} is not open any more", kind="settled")
        if approval.state is ANSWERED:
            raise Refused(
                f"approval {id} was answered by {approval.answered_by} already", kind="answered"
            )
        answered = replace(approval, result=result, answered_by=by, answered_at=now)
        kept = self._move(answered, ANSWERED)
        if id not in self._heard:
            self._unsent.add(id)
            return [kept]  # it is sent when the app-server asks again
        return [kept, SendAnswer(id, approval.question.request_id, result)]

    def resolved(self, thread_id: str, request_id: Id, *, now: float) -> list[Command]:
        """The app-server has an answer: a person's here, else it was given in Codex."""
        for approval in list(self._open.values()):
            question = approval.question
            same_id = type(question.request_id) is type(request_id)
            if (
                question.server == self._server
                and question.thread_id == thread_id
                and same_id
                and question.request_id == request_id
            ):
                return [self._settle(approval, now)]
        return []

    def caught_up(self, thread_id: str) -> list[Command]:
        """A thread was resumed and has asked all that it waits for: the rest was settled."""
        return [
            self._settle(approval, None)
            for approval in list(self._open.values())
            if approval.question.thread_id == thread_id
            and approval.question.server == self._server
            and approval.id not in self._heard
        ]

    def ended(self, server: str) -> list[Command]:
        """This app-server has ended for good: what it asked is orphaned, before any other comes."""
        return [
            self._move(approval, ORPHANED)
            for approval in list(self._open.values())
            if approval.question.server == server
        ]

    def _settle(self, approval: Approval, at: float | None) -> Keep:
        if approval.state is PENDING or approval.id in self._unsent:
            approval = replace(approval, result=None, answered_by=IN_CODEX, answered_at=at)
        return self._move(approval, RESOLVED)

    def _move(self, approval: Approval, state: ApprovalState) -> Keep:
        assert state in TRANSITIONS[approval.state], f"{approval.state} -> {state}"
        moved = replace(approval, state=state)
        if state in OPEN:
            self._open[approval.id] = moved
        else:
            self._open.pop(approval.id, None)
            self._unsent.discard(approval.id)
        return Keep(moved)
