"""
Steadiness: since when the time of day has run as it should.

Compared with a clock that nobody sets and that does not stop in suspend. A step of the clock, be it
a dead battery's at boot or its correction, begins the wait anew; the small steps of a correction
that takes its time do not.
"""

from __future__ import annotations

STEP = 60.0
"""Seconds between two looks by which the clocks may part without a step."""


class Steadiness:
    """How long the time of day can be believed."""

    def __init__(self) -> None:
        self._since = 0.0
        self._apart: float | None = None
        """By how much the two clocks differed when they were last looked at."""

    def observe(self, *, wall: float, elapsed: float) -> float:
        """Look at both clocks (seconds); return for how many seconds there was no step."""
        apart = wall - elapsed
        if self._apart is None or abs(apart - self._apart) > STEP:
            self._since = elapsed
        self._apart = apart
        return elapsed - self._since
