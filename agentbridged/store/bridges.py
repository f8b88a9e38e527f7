"""The bridges as they are kept: switched on or off, bound to a thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentbridged.errors import UnknownBridge
from agentbridged.store.database import Database, shadowed
from agentbridged.store.rows import BridgeRow, BridgeState
from agentbridged.store.shadows import BRIDGE


class Bridges(Database):
    """The table of bridges."""

    @shadowed
    def ensure_bridge(self, id: str, root: str) -> BridgeRow:
        """Return the bridge, made active if it is new."""
        with self.transaction():
            self._db.execute(
                "INSERT OR IGNORE INTO bridges (id, root, changed_at) VALUES (?, ?, ?)",
                (id, root, self._clock()),
            )
            return self._known_bridge(id)

    def bridge(self, id: str) -> BridgeRow | None:
        """Return a bridge by its id."""
        rows = self._bridge_rows("WHERE id = ?", (id,))
        return rows[0] if rows else None

    def bridge_at(self, root: str) -> BridgeRow | None:
        """Return the bridge of a project root."""
        rows = self._bridge_rows("WHERE root = ?", (root,))
        return rows[0] if rows else None

    def bridges(self) -> list[BridgeRow]:
        """Return every bridge, by id."""
        return self._bridge_rows("ORDER BY id", ())

    @shadowed
    def set_bridge_state(
        self, id: str, state: BridgeState, *, by: str, reason: str = ""
    ) -> BridgeRow:
        """Switch a bridge, and keep who did it, when and why; raises :exc:`UnknownBridge`."""
        with self.transaction():
            self._known_bridge(id)
            self._db.execute(
                "UPDATE bridges SET state = ?, changed_by = ?, changed_at = ?, reason = ? "
                "WHERE id = ?",
                (state, by, self._clock(), reason, id),
            )
            return self._known_bridge(id)

    def set_thread(self, id: str, thread_id: str | None, cursor: str | None) -> None:
        """Keep which thread a bridge is bound to, and how far it has been read."""
        self._update_bridge(id, "thread_id = ?, cursor = ?", (thread_id, cursor))

    @shadowed
    def mark_attached(self, id: str) -> None:
        """Keep that a Claude session was seated."""
        self._update_bridge(id, "attached = 1", ())

    def person_spoke(self, id: str, *, first: bool = False) -> None:
        """
        Keep that a person had a word after all that is in the bridge now.

        With *first* only where no word is kept yet.
        """
        known = "IGNORE" if first else "REPLACE"
        with self.transaction():
            self._db.execute(
                f"INSERT OR {known} INTO words (bridge, seq) "
                "SELECT id, last_seq FROM bridges WHERE id = ?",
                (id,),
            )

    def person_spoke_at(self, id: str, at: float) -> None:
        """Keep that a person had a word at this Unix time; an earlier one changes nothing."""
        with self.transaction():
            self._db.execute(
                "UPDATE words SET seq = coalesce((SELECT max(seq) FROM messages WHERE "
                "bridge = words.bridge AND seq > words.seq AND created_at <= ?), seq) "
                "WHERE bridge = ?",
                (at, id),
            )

    def _bridge_rows(self, where: str, values: tuple[Any, ...]) -> list[BridgeRow]:
        rows = self._read(f"SELECT {BRIDGE} FROM bridges {where}", values)
        self._bridges.update((row[0], row) for row in rows)
        return [_bridge_row(row) for row in rows]

    def _known_bridge(self, id: str) -> BridgeRow:
        row = self.bridge(id)
        if row is None:
            raise UnknownBridge(id)
        return row

    def _update_bridge(self, id: str, assignments: str, values: tuple[Any, ...]) -> None:
        with self.transaction():
            self._known_bridge(id)
            self._db.execute(f"UPDATE bridges SET {assignments} WHERE id = ?", (*values, id))


def _bridge_row(row: Sequence[Any]) -> BridgeRow:
    values = list(row)
    values[-1] = bool(values[-1])
    return BridgeRow(*values)
