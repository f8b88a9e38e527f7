"""
Outbox: the lawful moves of a message, from being on disk to being answered.

Pure. A message only moves forward; a repeated or backward move is not an error (late proof and
repeated news are normal after a crash), it just changes nothing.

    accepted ──▶ written ──▶ consumed ──▶ answered
        └───────────┴──▶ failed | withdrawn | history      (ends)
"""

from __future__ import annotations

from typing import Final, Literal

State = Literal["accepted", "written", "consumed", "answered", "failed", "withdrawn", "history"]
"""
``accepted``: on disk, not delivered. ``written``: handed over, without proof of reading.
``consumed``: proven to have reached the model. ``answered``: the other side replied.
``failed``, ``withdrawn``: given up, with the reason in the attempts. ``history``: kept to be read,
never to be delivered (commentary, ``[FYI]``, what was said while the bridge was killed).
"""

TRANSITIONS: Final[dict[State, frozenset[State]]] = {
    "accepted": frozenset({"written", "consumed", "answered", "failed", "withdrawn", "history"}),
    "written": frozenset({"consumed", "answered", "failed", "withdrawn", "history"}),
    "consumed": frozenset({"answered"}),
    "answered": frozenset(),
    "failed": frozenset(),
    "withdrawn": frozenset(),
    "history": frozenset(),
}
"""Every lawful move. The diagram in ARCHITECTURE.md is drawn from this table."""

ENDS: Final[frozenset[State]] = frozenset(
    state for state, onward in TRANSITIONS.items() if not onward
)
"""States nothing leaves."""

UNFINISHED: Final[frozenset[State]] = frozenset({"accepted", "written"})
"""States in which the message still has to be delivered, or proven to have been."""


def may_move(frm: State, to: State) -> bool:
    """Whether a message may go from one state to the other."""
    return to in TRANSITIONS[frm]
