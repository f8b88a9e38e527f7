"""
The daemon's words: what messages look like to each agent, and what people are told.

Injected text says who speaks. Nothing else in the daemon words these things.
"""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from agentbridged.codex.thread import headline
from agentbridged.machines.switch import Verb, way_out
from agentbridged.machines.turns import Waiting
from agentbridged.store.health import Health
from agentbridged.store.rows import ApprovalRow, BridgeRow, MessageRow
from agentbridged.wire import claude
from agentbridged.wire.admin import utc

if TYPE_CHECKING:
    from agentbridged.codex.side import CodexSide

ACTIVE = "The bridge is active again."
DUPLICATE = "This idempotency key was used before: this is the earlier message, nothing was sent."


def now() -> str:
    """Return the present time as UTC ISO 8601."""
    return utc(time.time())


def clock(at: float) -> str:
    """Return a Unix time as a person reads it: local, the day only when it is another one."""
    when = datetime.fromtimestamp(at).astimezone()
    today = datetime.now().astimezone().date() == when.date()
    return f"{when:%H:%M}" if today else f"{when:%Y-%m-%d %H:%M}"


# The children


def child(name: str, state: str, reason: str) -> str:
    """Say why a child is as it is, and the way out of FATAL."""
    way_out = f"given up; see `agentbridgectl logs {name}`; `agentbridgectl reload` tries again"
    return reason if state != "FATAL" else f"{reason}; {way_out}" if reason else way_out


def codex_given_up(reason: str) -> str:
    """Our app-server ended, or did not start, too often."""
    why = f" ({reason})" if reason else ""
    return (
        f"Codex's app-server was given up, it is FATAL{why}: a person must mend what "
        "`agentbridgectl logs app-server` tells of, and then `agentbridgectl reload` tries again. "
        "What is sent to Codex is kept until then."
    )


# Messages as the agents see them


def to_codex(message: MessageRow) -> str:
    """Return the text of a message as Codex gets it."""
    match message.sender:
        case "claude":
            who = "from Claude Code, your peer in this project (an agent, not your user)"
        case "person":
            who = "from your user, sent with agentbridgectl"
        case "codex":
            who = "from Codex"
        case unreachable:
            assert_never(unreachable)
    return f"{headline(message.id)}{who}:\n\n{message.text}"


def to_claude(message: MessageRow) -> claude.Message:
    """Return a message as the shim gets it."""
    return claude.Message(
        id=message.id,
        seq=message.seq,
        sender=message.sender,
        text=message.text,
        thread_id=message.thread_id,
        turn_id=message.turn_id,
        created_at=utc(message.created_at),
        prompts=message.prompts,
        in_reply_to=message.in_reply_to,
        written_to=message.written_to,
    )


# What a sender is told


def whereabouts(side: CodexSide, send: claude.Send, given_up: str = "") -> str:
    """Where a message just accepted waits, and for what."""
    if given_up and not side.reachable:
        return f"Kept, but it cannot be delivered now. {given_up}"
    if not side.reachable:
        return "Kept: Codex's app-server is not there; it is delivered as soon as it is."
    if side.thread_id is None and side.binding.thread is None:
        if send.start_thread:
            return "Kept: a Codex thread is being started for it."
        return (
            "Kept: no Codex thread is open in this project; it is delivered as soon as the person "
            "opens one (or send with start_thread=true)."
        )
    if side.turns.waiting is not None:
        return f"Kept: {waiting(side.turns.waiting)}"
    if side.turns.active and send.when_busy == "queue":
        return "Kept: Codex is busy; it gets this after its running turn."
    return "On its way to Codex; its answer comes by itself."


def for_claude(seated: bool) -> str:
    """Where a message for Claude waits."""
    return "On its way to Claude." if seated else "Kept: no Claude session is here now."


# States, for people


def killed(row: BridgeRow) -> str:
    """The close reason of a killed bridge."""
    return (
        f"killed by {row.changed_by} at {clock(row.changed_at)}; "
        "`agentbridgectl revive` switches it on"
    )


def refused(row: BridgeRow) -> str:
    """Why a killed or paused bridge takes nothing."""
    if row.state == "killed":
        return f"The bridge is {killed(row)}. Nothing was sent."
    return f"{_paused(row)}; `agentbridgectl resume` goes on. Nothing was sent."


def paused(row: BridgeRow) -> str:
    """What Claude is told when the bridge is paused."""
    return (
        f"{_paused(row)}. Nothing goes to Codex, and what Codex says is kept. A person goes on "
        "with `agentbridgectl resume`; until then there is nothing for you to do about it."
    )


def _paused(row: BridgeRow) -> str:
    why = f" ({row.reason})" if row.reason else ""
    return f"The bridge is paused by {row.changed_by} since {clock(row.changed_at)}{why}"


def not_now(row: BridgeRow, verb: Verb) -> str:
    """Why this may not be done to a bridge in its state."""
    return (
        f"`{verb}` does not fit: bridge {row.id} is {row.state}; "
        f"`agentbridgectl {way_out(row.state)}` makes it active"
    )


# Notices for Claude


def store(health: Health) -> str:
    """Why what is said cannot be kept, or what a new database lacks; "" when all is well."""
    match health.state:
        case "ok":
            return health.loss
        case "refusing":
            return (
                f"agentbridge cannot keep messages now: {health.reason}. What you send is refused "
                "until it can; what Codex says meanwhile comes then."
            )
        case "memory":
            return (
                f"agentbridge works without its database: {health.reason}. What you send is "
                "refused until it is back; what Codex says reaches you, but is not kept."
            )
        case unreachable:
            assert_never(unreachable)


STORE_MENDED = "agentbridge can keep messages again."


def switched(thread_id: str) -> str:
    """The person moved to another thread."""
    return (
        f"Codex is on another thread now ({thread_id}); what you send from here on goes there. "
        "It does not know what was said in the earlier one."
    )


def waiting(waits: Waiting) -> str:
    """Codex waits for a person."""
    what = "approve something" if waits.on == "approval" else "answer a question"
    return (
        f"Codex waits since {clock(waits.since)} for its user to {what} in Codex; "
        "only a person can do that."
    )


def asks(approval: ApprovalRow) -> str:
    """Codex asks a person something; Claude is told once, and cannot answer it."""
    return (
        f"Codex waits for its user, in Codex or with `agentbridgectl approvals`, to let it "
        f"{approval.what[:500]} (since {clock(approval.asked_at)}). Only a person can answer that."
    )


def turn_ended_badly(status: str, asked: list[str]) -> str:
    """A turn with a message of Claude's ended without an answer."""
    return (
        f"Codex's turn with your message {', '.join(asked)} was {status}: "
        "no answer will come of it by itself."
    )


def failed(message: MessageRow, reason: str) -> str:
    """A message could not be delivered."""
    whose = "Your" if message.sender == "claude" else "A person's"
    return f"{whose} message {message.id} could not be delivered to Codex: {reason}"


# Notices for the desktop: a project's name, and never what was said


def desktop_asks(root: Path) -> str:
    """Codex waits for a person."""
    return f"{root.name}: Codex waits for you (`agentbridgectl approvals`)"


def desktop_paused(root: Path, reason: str) -> str:
    """The governor paused a bridge."""
    return f"{root.name}: paused, {reason} (`agentbridgectl resume`)"


def desktop_given_up(name: str) -> str:
    """A child is FATAL."""
    return f"The {name} was given up: it fails again and again (`agentbridgectl status`)"
