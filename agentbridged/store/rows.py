"""What the store hands out: one frozen row of each table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from agentbridged.machines.outbox import State
from agentbridged.wire.claude import WhenBusy

Direction = Literal["to_codex", "to_claude"]
Sender = Literal["claude", "codex", "person"]
BridgeState = Literal["active", "paused", "killed"]


@dataclass(frozen=True)
class BridgeRow:
    """A bridge as it is kept: what survives a restart. Times are Unix seconds."""

    id: str
    root: str
    state: BridgeState
    changed_by: str
    changed_at: float
    reason: str
    thread_id: str | None
    cursor: str | None
    """How far this thread's items have been read; the Codex side gives it its meaning."""
    attached: bool
    """A Claude session has been seated at least once."""


@dataclass(frozen=True)
class MessageRow:
    """A message, in either direction. Times are Unix seconds."""

    id: str
    bridge: str
    seq: int
    """Numbers the bridge's messages of both directions, from 1."""
    direction: Direction
    sender: Sender
    text: str
    state: State
    thread_id: str | None
    turn_id: str | None
    item_id: str | None
    idempotency_key: str | None
    when_busy: WhenBusy
    start_thread: bool
    prompts: list[str]
    in_reply_to: str | None
    written_to: str | None
    created_at: float
    changed_at: float


@dataclass(frozen=True)
class AttemptRow:
    """One try at moving a message on; *result* is ``ok``, ``refused``, ``doubtful`` or the like."""

    message: str
    at: float
    step: str
    result: str
    detail: str


@dataclass(frozen=True)
class Counts:
    """What waits in a bridge: messages not handed over yet, and when the oldest was accepted."""

    to_codex: int
    to_claude: int
    oldest_undelivered: float | None


@dataclass(frozen=True)
class ApprovalRow:
    """What Codex asked a person, and what became of it. Times are Unix seconds."""

    id: str
    bridge: str
    server: str
    """The app-server's process that asked: its pid and create time."""
    request_id: int | str
    """With its JSON type: ``6`` and ``"6"`` are two requests."""
    method: str
    thread_id: str
    turn_id: str | None
    what: str
    """What is asked, in words for a person."""
    asked: dict[str, Any]
    """The request's params."""
    state: str
    result: dict[str, Any] | None
    answered_by: str
    answered_at: float | None
    asked_at: float
    changed_at: float
