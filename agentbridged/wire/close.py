"""
WebSocket close codes of ``claude.sock``: the one place that knows them.

The numbers cross the wire (private range, RFC 6455 section 7.4.2), so they are written out.
"""

from __future__ import annotations

import enum

REASON_LIMIT = 123
"""Bytes a close reason may have (RFC 6455 section 5.5: a control frame's 125, less the code)."""


class CloseCode(enum.IntEnum):
    """Why the daemon closed a session's connection."""

    REJECTED = 4001
    """A newcomer was turned away; the holder of the seat was not disturbed."""
    EVICTED = 4002
    """The holder lost the seat: proven dead or silent, or a person asked for a take-over."""
    KILLED = 4003
    """A person switched the bridge off; it stays off until it is revived."""
    CONTRACT = 4004
    """The two sides speak different versions of this contract."""
    NOT_ATTACHED = 4005
    """Something came before ``attach``, or a frame was malformed."""


def fit_reason(text: str) -> str:
    """Cut *text* to what a close frame can carry, at a character boundary."""
    return text.encode()[:REASON_LIMIT].decode(errors="ignore")
