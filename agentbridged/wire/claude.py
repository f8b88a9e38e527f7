"""
What the daemon and a Claude session's shim say to each other on ``claude.sock``.

JSON-RPC 2.0 in WebSocket text frames. The client's first message is ``attach``; then ``send``,
``delivered``, ``tried``, ``consumed``, ``ways``, ``interrupt``, ``status``, ``detach``. The server
notifies ``message`` and ``notice``. Unknown members are ignored, so either side may learn new ones
first.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

CONTRACT = 1
"""Version of this contract; a different one is closed with 4004."""

MEASURED = "2.1.330"
"""The Claude Code that all of this was measured with."""

INBOX_SINCE = (2, 1, 224)
"""The first Claude Code that has an inbox socket."""

TEXT_LIMIT = 1_000_000
"""Characters of a message: the app-server takes 1,048,576 with our heading (measured, 0.169.0)."""

WhenBusy = Literal["queue", "steer", "interrupt"]
Step = Literal["inbox", "channel", "stop_hook", "read"]
Proof = Literal["transcript", "tool"]
Text = Annotated[str, Meta(min_length=1, max_length=TEXT_LIMIT)]
Key = Annotated[str, Meta(min_length=1, max_length=200)]


class Attach(Struct, kw_only=True):
    """Ask for the seat of the bridge of *project_dir*."""

    contract: int
    project_dir: Annotated[str, Meta(min_length=1, max_length=4096)]
    session_id: Annotated[str, Meta(max_length=200)] = ""
    claude_pid: Annotated[int, Meta(gt=0, lt=2**31)]
    """Claude Code's own process, not the shim's."""
    take_over: bool = False
    """A person asked to evict the holder."""


class Attached(Struct, kw_only=True):
    """The answer to ``attach``; *pending* messages follow as ``message`` notifications."""

    bridge: str
    root: str
    codex: dict[str, Any] | None
    pending: int


class Send(Struct, kw_only=True):
    """A message to Codex; the answer is :class:`Sent`, once it is on disk."""

    text: Text
    when_busy: WhenBusy = "queue"
    idempotency_key: Key | None = None
    start_thread: bool = False
    person_at: float | None = None
    """Unix time at which a person last typed something in this session, as far as is known."""


class Sent(Struct, kw_only=True):
    """A message is durable: it will be delivered exactly once."""

    id: str
    state: str
    duplicate: bool
    """The same idempotency key was used before; this is the earlier message's id."""
    note: str
    """What a person or a model should know: where it waits, and for what."""


class Delivered(Struct, kw_only=True):
    """Messages were handed to Claude Code by this step of the ladder; not yet proof of reading."""

    ids: list[str]
    step: Step


class Consumed(Struct, kw_only=True):
    """Messages are proven to have reached the model."""

    ids: list[str]
    proof: Proof


class Tried(Struct, kw_only=True):
    """Messages did not get through by this step of the ladder, and why; the next one follows."""

    ids: list[str]
    step: Step
    result: Annotated[str, Meta(min_length=1, max_length=40)]
    detail: Annotated[str, Meta(max_length=1000)] = ""


class Way(Struct, kw_only=True, frozen=True):
    """One step of the ladder in this session."""

    step: Literal["inbox", "channel", "stop_hook", "read", "proof"]
    """``proof`` is the transcript, by which reading is proven."""
    state: Literal["proven", "usable", "unknown", "off"]
    """``proven``: it worked here; ``unknown``: nothing tells yet."""
    why: str = ""


class Ways(Struct, kw_only=True, frozen=True):
    """Which steps of the ladder this session has, and why not the others."""

    claude_version: Annotated[str, Meta(max_length=100)] = ""
    ways: list[Way]


class Message(Struct, kw_only=True, rename={"sender": "from"}):
    """What Codex said; *seq* orders the bridge's messages."""

    id: str
    seq: int
    sender: str = "codex"
    text: str
    thread_id: str | None = None
    turn_id: str | None = None
    created_at: str
    prompts: list[str] = []
    """What the person typed in Codex that this answers; empty when a message of Claude's did."""
    in_reply_to: str | None = None
    """Id of Claude's message that started the turn."""
    written_to: str | None = None
    """Set on a redelivery: ``pid/session`` of the session it was handed to, without proof."""


class Notice(Struct, kw_only=True):
    """News about the bridge itself, in words for the person and the model."""

    kind: str
    text: str
