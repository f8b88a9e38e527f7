"""The approvals as they are kept: every question, every answer, who gave it and when."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from agentbridged.store.database import Database, shadowed
from agentbridged.store.rows import ApprovalRow
from agentbridged.store.shadows import APPROVAL, OPEN


class Approvals(Database):
    """The table of approvals."""

    @shadowed
    def add_approval(
        self,
        *,
        id: str,
        bridge: str,
        server: str,
        request_id: int | str,
        method: str,
        thread_id: str,
        turn_id: str | None,
        what: str,
        asked: dict[str, Any],
    ) -> ApprovalRow:
        """Keep a question that waits for a person."""
        now = self._clock()
        with self.transaction():
            self._db.execute(
                f"INSERT INTO approvals ({APPROVAL}) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'pending', NULL, '', NULL, ?, ?)",
                (
                    *(id, bridge, server, json.dumps(request_id), method, thread_id, turn_id),
                    *(what, json.dumps(asked), now, now),
                ),
            )
        row = self.approval(id)
        assert row is not None
        return row

    @shadowed
    def set_approval(
        self,
        id: str,
        state: str,
        *,
        result: dict[str, Any] | None,
        answered_by: str,
        answered_at: float | None,
    ) -> None:
        """Keep what became of an approval; an unknown id changes nothing."""
        with self.transaction():
            self._db.execute(
                "UPDATE approvals SET state = ?, result = ?, answered_by = ?, answered_at = ?, "
                "changed_at = ? WHERE id = ?",
                (
                    state,
                    None if result is None else json.dumps(result),
                    answered_by,
                    answered_at,
                    self._clock(),
                    id,
                ),
            )

    def _drop_settled(self, before: float) -> None:
        """Delete what was asked before a Unix time and is settled; within a transaction."""
        self._db.execute(
            f"DELETE FROM approvals WHERE asked_at < ? AND state NOT IN {OPEN}", (before,)
        )

    def approval(self, id: str) -> ApprovalRow | None:
        """Return an approval by its id."""
        rows = self._approval_rows("WHERE id = ?", (id,))
        return rows[0] if rows else None

    def open_approvals(self, bridge: str | None = None) -> list[ApprovalRow]:
        """Return what waits for a person, or for Codex's confirmation, oldest first."""
        where = f"WHERE state IN {OPEN}"
        if bridge is None:
            return self._approval_rows(f"{where} ORDER BY rowid", ())
        return self._approval_rows(f"{where} AND bridge = ? ORDER BY rowid", (bridge,))

    def latest_approvals(self, bridge: str | None = None, limit: int = 50) -> list[ApprovalRow]:
        """Return the latest approvals in whatever state, oldest first."""
        if bridge is None:
            found = self._approval_rows("ORDER BY rowid DESC LIMIT ?", (limit,))
        else:
            found = self._approval_rows(
                "WHERE bridge = ? ORDER BY rowid DESC LIMIT ?", (bridge, limit)
            )
        return found[::-1]

    def _approval_rows(self, where: str, values: tuple[Any, ...]) -> list[ApprovalRow]:
        found = self._read(f"SELECT {APPROVAL} FROM approvals {where}", values)
        for row in found:
            if row[9] in OPEN:
                self._approvals[row[0]] = row
            else:
                self._approvals.pop(row[0], None)
        return [_approval_row(row) for row in found]


def _approval_row(row: Sequence[Any]) -> ApprovalRow:
    values = list(row)
    values[3] = json.loads(values[3])
    values[8] = json.loads(values[8])
    values[10] = None if values[10] is None else json.loads(values[10])
    return ApprovalRow(*values)
