"""What the admin door tells of a seated session: who it is, and which ways lead to it."""

from __future__ import annotations

from typing import Any

from msgspec import to_builtins

from agentbridged.claude.session import Session
from agentbridged.wire.admin import utc

INSTEAD = {
    "inbox": "messages come by the channel, at the end of Claude's turn, or when Claude reads them",
    "proof": "messages are handed over once; whether Claude read them is not known",
}
"""What is done where a session lacks a step on which the others are measured."""


def seat(session: Session) -> dict[str, Any]:
    """Return the ``claude`` object of a bridge's status."""
    told = session.ways
    return {
        "session_id": session.session_id,
        "pid": session.claude_pid,
        "since": utc(session.since),
        "version": told.claude_version if told else None,
        "ways": to_builtins(told.ways) if told else [],
    }


def degraded(bridge: str, session: Session | None) -> list[dict[str, Any]]:
    """Return what a session lacks: rows of the admin API's ``degraded``."""
    if session is None or session.ways is None:
        return []
    return [
        {
            "program": "claude",
            "bridge": bridge,
            "method": way.step,
            "problem": way.why,
            "instead": INSTEAD[way.step],
            "since": utc(session.since),
        }
        for way in session.ways.ways
        if way.state == "off" and way.step in INSTEAD
    ]
