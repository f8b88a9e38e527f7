"""
Which steps of the ladder this session has, and why not the others: for Claude and for the daemon.

The daemon shows it in ``status``; the tool ``bridge_status`` says it in words.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from agentbridged.machines import ladder
from agentbridged.wire.claude import MEASURED, Proof, Step, Way, Ways

_NAMES = {
    "inbox": "1 inbox socket",
    "channel": "2 channel",
    "stop_hook": "3 hook at the end of a turn",
    "read": "4 read_messages, wait_for_message",
    "proof": "proof of reading, by the transcript",
}


def describe(
    version: str,
    ways: ladder.Ways,
    *,
    inbox_problem: str,
    hooked: bool,
    proven: Collection[Step | Proof],
) -> Ways:
    """Say what is there; *inbox_problem* is why it did not take the last message."""
    return Ways(
        claude_version=version[:100],
        ways=[
            _inbox(ways, inbox_problem, "inbox" in proven),
            _channel(ways, "channel" in proven),
            _hook(hooked, "stop_hook" in proven),
            Way(step="read", state="usable"),
            _proof(ways, "transcript" in proven),
        ],
    )


def _inbox(ways: ladder.Ways, problem: str, proven: bool) -> Way:
    if ways.inbox:
        return Way(step="inbox", state="off", why=ways.inbox)
    return Way(step="inbox", state="proven" if proven and not problem else "usable", why=problem)


def _channel(ways: ladder.Ways, proven: bool) -> Way:
    if ways.channel:
        return Way(step="channel", state="off", why=ways.channel)
    if proven:
        return Way(step="channel", state="proven")
    why = "asked for when the session was started; Claude Code does not tell whether it is open"
    return Way(step="channel", state="unknown", why=why)


def _hook(hooked: bool, proven: bool) -> Way:
    if proven:
        return Way(step="stop_hook", state="proven")
    why = "" if hooked else "no turn has ended yet, or the plugin's hooks are off"
    return Way(step="stop_hook", state="usable" if hooked else "unknown", why=why)


def _proof(ways: ladder.Ways, proven: bool) -> Way:
    if proven and not ways.proof:
        return Way(step="proof", state="proven")
    if not ways.proof:
        return Way(step="proof", state="usable")
    state: Literal["unknown", "off"] = "unknown" if ways.proof == ladder.NO_TRANSCRIPT else "off"
    return Way(step="proof", state=state, why=ways.proof)


def in_words(said: Ways) -> list[str]:
    """Write it as lines for a model or a person."""
    version = said.claude_version or "of unknown version"
    same = said.claude_version == MEASURED
    newer = "" if same else f" (agentbridge was measured with {MEASURED})"
    lines = [f"ways to reach you, Claude Code {version}{newer}:"]
    for way in said.ways:
        why = f": {way.why}" if way.why else ""
        lines.append(f"  {_NAMES[way.step]}: {way.state}{why}")
    return lines
