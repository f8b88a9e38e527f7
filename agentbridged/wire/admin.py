"""
The admin API: what a person's tools and the daemon say to each other on ``admin.sock``.

JSON-RPC 2.0, one object a line. These are the typed params and results of the verbs; a param that
no verb knows is refused by name, so that a typing error never changes what a call means.
Times are UTC ISO 8601 strings, spans are seconds.
"""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from agentbridged.wire.claude import Key, Text, WhenBusy

LINE_LIMIT = 4 * 1024 * 1024
"""Bytes of a request's line: the longest text a message may have, escaped, fits three times."""

ANSWER_TEXT_LIMIT = 8_000_000
"""Characters of all texts in one answer; a longer list leaves out its oldest messages."""

To = Literal["codex", "claude"]
Limit = Annotated[int, Meta(ge=1, le=1000)]
Seq = Annotated[int, Meta(ge=0, le=2**53)]
Name = Annotated[str, Meta(min_length=1, max_length=4096)]
Reason = Annotated[str, Meta(max_length=1000)]


class Params(Struct, kw_only=True, forbid_unknown_fields=True):
    """What a verb takes; this one takes nothing."""


class BridgeParams(Params, kw_only=True):
    """Name a bridge by its id or root, or by a directory inside its project."""

    bridge: Name | None = None
    project_dir: Name | None = None


class SwitchParams(BridgeParams, kw_only=True):
    """``bridge.kill``, ``bridge.revive``, ``bridge.pause``, ``bridge.resume``."""

    all: bool = False
    reason: Reason = ""


class SendParams(BridgeParams, kw_only=True):
    """``message.send``: a person's word to one side. A new *project_dir* gets its bridge."""

    text: Text
    to: To = "codex"
    when_busy: WhenBusy = "queue"
    idempotency_key: Key | None = None
    start_thread: bool = False


class ListParams(BridgeParams, kw_only=True):
    """``message.list``: the latest messages, oldest first; of all bridges when none is named."""

    limit: Limit = 50
    before_seq: Seq | None = None
    after_seq: Seq | None = None


class SearchParams(BridgeParams, kw_only=True):
    """``message.search``: the latest messages with all words of *query*, oldest first."""

    query: Annotated[str, Meta(min_length=1, max_length=1000)]
    limit: Limit = 50


class ExplainParams(Params, kw_only=True):
    """``message.explain``."""

    id: Name


class SubscribeParams(BridgeParams, kw_only=True):
    """``events.subscribe``: news of one bridge, or of all."""


class ApprovalListParams(BridgeParams, kw_only=True):
    """``approval.list``: what is open; with *all*, the latest in whatever state."""

    all: bool = False
    limit: Limit = 50


class ApprovalAnswerParams(Params, kw_only=True):
    """``approval.answer``: a person's word."""

    id: Name
    decision: Literal["allow", "deny"]


class Approval(Struct, kw_only=True):
    """What Codex asked a person, and what became of it."""

    id: str
    bridge: str
    thread_id: str
    turn_id: str | None
    method: str
    what: str
    state: str
    """``pending``, ``answered`` (not confirmed by Codex yet), ``resolved`` or ``orphaned``."""
    asked_at: str
    answered_by: str
    answered_at: str | None
    answer: dict[str, Any] | None
    """As Codex takes it; ``None`` also when it was answered in Codex."""


class Approvals(Struct, kw_only=True):
    """``approval.list``, oldest first."""

    approvals: list[Approval]


class Sent(Struct, kw_only=True):
    """``message.send``: the message is on disk and will be delivered exactly once."""

    id: str
    bridge: str
    state: str
    duplicate: bool
    note: str


class Message(Struct, kw_only=True, rename={"sender": "from"}):
    """A message as every door shows it."""

    id: str
    bridge: str
    seq: int
    direction: str
    sender: str
    text: str
    state: str
    thread_id: str | None
    turn_id: str | None
    in_reply_to: str | None
    prompts: list[str]
    created_at: str
    changed_at: str


class Messages(Struct, kw_only=True):
    """``message.list`` and ``message.search``."""

    messages: list[Message]
    truncated: bool = False
    """Older ones were left out: the answer would have been too long."""


class Attempt(Struct, kw_only=True):
    """One try at delivering a message."""

    at: str
    step: str
    result: str
    detail: str


class Explained(Struct, kw_only=True):
    """``message.explain``: a message, what was tried, and the story in plain words."""

    message: Message
    attempts: list[Attempt]
    story: str


class Switched(Struct, kw_only=True):
    """A bridge after it was switched: its state, and who did it, when and why."""

    id: str
    root: str
    state: str
    changed_by: str
    changed_at: str
    reason: str


class SwitchedBridges(Struct, kw_only=True):
    """``bridge.kill`` and its like."""

    bridges: list[Switched]


class BridgeList(Struct, kw_only=True):
    """``bridge.list``: rows as in ``status``, with who switched each, when and why."""

    bridges: list[dict[str, Any]]


class Released(Struct, kw_only=True):
    """``seat.release``: whether a session held the seat."""

    bridge: str
    released: bool


class Subscribed(Struct, kw_only=True):
    """``events.subscribe``: notifications follow on this connection."""

    subscribed: bool = True


class Sample(Struct, kw_only=True):
    """One number of a metric."""

    value: float
    labels: dict[str, str] = {}
    suffix: str = ""
    """Of a histogram's numbers: ``_bucket`` (up to ``le``), ``_sum`` or ``_count``."""


class Metric(Struct, kw_only=True):
    """One metric: Prometheus's name, type (gauge, counter, histogram) and words for a person."""

    name: str
    type: str
    help: str
    samples: list[Sample]


class Metrics(Struct, kw_only=True):
    """``metrics``."""

    metrics: list[Metric]


def utc(seconds: float) -> str:
    """Write a Unix time as UTC ISO 8601 with milliseconds: ``2026-11-22T10:03:07.250Z``."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
