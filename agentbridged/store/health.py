"""
How the store is: whether what is said can be kept, and if not, why.

    ok ──a write failed──▶ refusing     it is read from the file; what cannot be kept is refused
    ok ──no file can be used──▶ memory  work goes on in memory; what must be kept is refused

Either way back to ok: at the next write, or when :meth:`Database.recheck` is called.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

log = logging.getLogger(__name__)

HealthState = Literal["ok", "refusing", "memory"]

_WHAT = {
    "ok": "",
    "refusing": "what cannot be kept is refused until it can",
    "memory": "working in memory: what must be kept is refused until there is a file",
}


class Health:
    """The one place that knows; *clock* returns Unix seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.state: HealthState = "ok"
        self.reason = ""
        """What is wrong and what to do; "" when nothing is."""
        self.since: float | None = None
        """Unix time of the first failure of this spell."""
        self.aside: list[Path] = []
        """Damaged files that were put aside, oldest first."""
        self.loss = ""
        """What a database begun anew could not take over, for a person; "" when nothing is lost."""
        self.mends = 0
        """Grows when the file is written again, or another one is: what is in it may be news."""
        self.changed: Callable[[], None] = lambda: None
        """Called after each change, in the midst of the store's own work: call nothing of it."""

    @property
    def ok(self) -> bool:
        """Whether everything can be kept."""
        return self.state == "ok"

    def fail(self, state: HealthState, reason: str) -> None:
        """It cannot be kept, for this reason."""
        if (state, reason) == (self.state, self.reason):
            return
        if self.ok:
            self.since = self._clock()
        self.state, self.reason = state, reason
        log.error("%s; %s", reason, _WHAT[state])
        self.changed()

    def mend(self) -> None:
        """It can be kept again."""
        self.state, self.reason, self.since = "ok", "", None
        log.info("the database can be written")
        self.mends += 1
        self.changed()

    def put_aside(self, aside: Path) -> None:
        """A damaged file was put aside."""
        self.aside.append(aside)

    def lost(self, loss: str) -> None:
        """A new file was begun that may hold less than the damaged one."""
        self.loss = loss
        log.error("%s", loss)

    def facts(self) -> dict[str, Any]:
        """Return the ``store`` object of the admin API's ``status``, without the times."""
        return {
            "state": self.state,
            "reason": self.reason,
            "kept_aside": [str(path) for path in self.aside],
            "loss": self.loss,
        }
