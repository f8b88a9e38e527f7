"""
The switch of a bridge: what a person, or the governor, may do to it in which state.

    ACTIVE ──pause──▶ PAUSED ──resume──▶ ACTIVE
    any ──kill──▶ KILLED ──revive──▶ ACTIVE
"""

from __future__ import annotations

from typing import Literal

State = Literal["active", "paused", "killed"]
Verb = Literal["kill", "revive", "pause", "resume"]

TRANSITIONS: dict[State, dict[Verb, State]] = {
    "active": {"kill": "killed", "pause": "paused", "revive": "active", "resume": "active"},
    "paused": {"kill": "killed", "pause": "paused", "resume": "active"},
    "killed": {"kill": "killed", "revive": "active"},
}
"""Every lawful move; one that leads where the bridge is already changes nothing."""


def after(state: State, verb: Verb) -> State | None:
    """Return the state that *verb* leads to, or ``None`` when it may not be done."""
    return TRANSITIONS[state].get(verb)


def way_out(state: State) -> Verb:
    """Return the verb that makes a bridge active again."""
    return "resume" if state == "paused" else "revive"
