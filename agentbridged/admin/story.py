"""
The story of a message in plain words: who said it, what was tried, where it is now and why.

Pure: rows in, text out. The text of the message itself is no part of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from agentbridged.store import AttemptRow, BridgeRow, MessageRow
from agentbridged.wire.admin import utc

_NAMES = {"claude": "Claude", "codex": "Codex", "person": "A person"}
_STEPS = {
    "queue": "Codex's queue",
    "kick": "Codex's queue, which an interrupt had paused,",
    "steer": "the running turn",
    "start": "a new turn",
    "turn": "Codex's turn",
    "inbox": "Claude Code's inbox",
    "channel": "a channel notification",
    "stop_hook": "the hook at the end of Claude's turn",
    "read": "Claude's own reading",
    "transcript": "Claude's transcript",
    "tool": "a tool call of Claude's",
}
_WENT = {
    "queue": "Codex's queue took it",
    "steer": "it joined the running turn",
    "start": "a new turn was started with it",
    "turn": "Codex read it, as part of a turn",
    "answer": "that turn was completed",
    "inbox": "it was written into Claude Code's inbox",
    "channel": "it was sent as a channel notification",
    "stop_hook": "the hook at the end of Claude's turn handed it over",
    "read": "Claude fetched it by itself",
    "transcript": "it was seen in Claude's transcript as given to the model",
    "tool": "a tool call of Claude's confirmed it",
    "told": "Claude was told what became of it",
}

_RESULTS = {
    "sending": "it was about to be handed to {}",
    "doubtful": "{} left it in doubt",
    "not taken": "{} did not take it",
    "missing": "{} could not be used",
    "failed": "{} failed",
    "unconfirmed": "{} had led to no sign of it",
    "held": "{} holds it back",
    "refused": "{} refused it",
}
_UNPROVEN = {
    "to_codex": "and it is looked for before it is ever sent again",
    "to_claude": "and until there is, the next session gets it too, marked as perhaps a repeat",
}
_HANDS = ("inbox", "channel", "stop_hook")
"""Steps that hand a message to Claude Code."""
_ON_THREAD = ("queue", "kick", "steer", "start", "salvage")
"""Steps whose detail is the thread."""


def tell(
    message: MessageRow,
    attempts: Sequence[AttemptRow],
    replies: Sequence[MessageRow],
    bridge: BridgeRow | None,
) -> str:
    """Tell the story, one sentence a line."""
    return "\n".join(
        [
            _beginning(message),
            *_tried(attempts, message),
            *_unanswered(message, attempts),
            _now(message, bridge),
            *(f"Codex answered with {reply.id} at {utc(reply.created_at)}." for reply in replies),
        ]
    )


def _beginning(message: MessageRow) -> str:
    who = _NAMES[message.sender]
    to = "Codex" if message.direction == "to_codex" else "Claude"
    how = ""
    if message.direction == "to_codex" and message.when_busy != "queue":
        how = f", asking to {message.when_busy} if Codex is busy"
    reply = f" in reply to {message.in_reply_to}" if message.in_reply_to else ""
    return (
        f"{who} said it to {to}{reply} at {utc(message.created_at)}{how}; "
        f"it is number {message.seq} of bridge {message.bridge}."
    )


def _tried(attempts: Sequence[AttemptRow], message: MessageRow) -> list[str]:
    sentences = []
    handed = False
    for attempt in attempts:
        after = max(0.0, attempt.at - message.created_at)
        again = handed and attempt.step in _HANDS and attempt.result == "ok"
        marked = " once more, marked as perhaps a repeat" if again else ""
        sentences.append(f"After {after:.1f} s, {_what(attempt)}{marked}{_detail(attempt)}.")
        handed = handed or (attempt.step in _HANDS and attempt.result == "ok")
    return sentences


def _detail(attempt: AttemptRow) -> str:
    if not attempt.detail:
        return ""
    if attempt.step in _ON_THREAD and attempt.result in ("ok", "sending"):
        return f" (on thread {attempt.detail})"
    if attempt.step in _HANDS and attempt.result == "ok":
        return f" ({_process(attempt.detail)})"
    return f" ({attempt.detail})"


def _process(key: str) -> str:
    """Write ``pid/session`` in words."""
    pid, _, session = key.partition("/")
    return f"process {pid}, session {session}" if session else f"process {pid}"


def _what(attempt: AttemptRow) -> str:
    step = _STEPS.get(attempt.step, attempt.step)
    if attempt.result == "ok":
        return _WENT.get(attempt.step, f"{step} went well")
    if attempt.step == "give up":
        return "it was given up"
    if attempt.step == "kept":
        return "it was put into history"
    if attempt.step == "salvage":
        return "what was tried was lost with a damaged database, so it may be in Codex"
    if words := _RESULTS.get(attempt.result):
        return words.format(step)
    return f"{step} ended: {attempt.result}"


def _now(message: MessageRow, bridge: BridgeRow | None) -> str:
    to = "Codex" if message.direction == "to_codex" else "Claude"
    since = utc(message.changed_at)
    match message.state:
        case "accepted":
            return f"It waits to be handed to {to}{_held(bridge)}."
        case "written":
            whom = f" ({_process(message.written_to)})" if message.written_to else ""
            handed = f"It was handed to {to}{whom} at {since}; there is no proof of reading yet"
            return f"{handed}, {_UNPROVEN[message.direction]}{_held(bridge)}."
        case "consumed":
            turn = f" in turn {message.turn_id}" if message.turn_id else ""
            return f"{to} has read it{turn}, proven at {since}."
        case "answered":
            return f"It was read and answered; that was known at {since}."
        case "failed":
            return f"It was given up at {since}."
        case "withdrawn":
            return f"It was withdrawn at {since}."
        case "history":
            return f"It is kept to be read, and will not be delivered{_kept(message)}."


def _kept(message: MessageRow) -> str:
    """Say why a message went into history, as far as the message itself tells."""
    if message.text.lstrip().upper().startswith("[FYI]"):
        return ": Codex marked it as [FYI]"
    return "; so is what Codex says by the way, and what it says to a bridge that is off"


def _unanswered(message: MessageRow, attempts: Sequence[AttemptRow]) -> list[str]:
    """Say that no answer is to be waited for, where the turn that read it came to a bad end."""
    ends = [a.result for a in attempts if a.step == "turn" and a.result != "ok"]
    if message.state != "consumed" or not ends:
        return []
    return [
        f"Its turn was {ends[-1]} before it was answered: no answer will come of it by itself. "
        "It is in Codex's history, and is not sent again."
    ]


def _held(bridge: BridgeRow | None) -> str:
    if bridge is None or bridge.state == "active":
        return ""
    way_out = "revive" if bridge.state == "killed" else "resume"
    by = f" by {bridge.changed_by}" if bridge.changed_by else ""
    why = f" ({bridge.reason})" if bridge.reason else ""
    return (
        f"; the bridge is {bridge.state}{by} since {utc(bridge.changed_at)}{why}, "
        f"`agentbridgectl {way_out} {bridge.id}` goes on"
    )
