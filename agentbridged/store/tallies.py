"""What was counted as it happened: metrics without a look at every message."""

from __future__ import annotations

import os
from contextlib import suppress

from agentbridged.store.database import Database


class Tallies(Database):
    """The table of tallies, which the schema's triggers keep."""

    def tallies(self) -> list[tuple[str, str, str, float]]:
        """
        Return kind, two names and a number, in order.

        ``messages``: direction and state, of those that are kept. ``attempts``: step and result.
        ``delivery``: direction, and the end of a bucket (seconds, not added up) or ``sum``.
        ``switches``: a bridge's new state, and whether the ``governor`` or a ``person`` did it.
        """
        rows = self._read("SELECT kind, a, b, n FROM tallies ORDER BY kind, a, b", ())
        return [(kind, a, b, n) for kind, a, b, n in rows]

    def size(self) -> int:
        """Return the bytes that the database takes on disk, its log included."""
        total = 0
        for suffix in ("", "-wal"):
            with suppress(OSError):
                total += os.stat(f"{self.path}{suffix}").st_size
        return total
