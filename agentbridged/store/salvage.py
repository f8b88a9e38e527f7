"""
What can still be read of a damaged database, taken over into a new one.

Nothing is ever written to a damaged file.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from agentbridged.machines.outbox import TRANSITIONS
from agentbridged.store.rows import BridgeState, Direction
from agentbridged.store.schema import block
from agentbridged.store.shadows import APPROVAL, BRIDGE, MESSAGE, insert

PATIENCE = 2.0
"""Seconds that taking over may hold up the daemon; past that the rest stays in the file aside."""
CHUNK = 256
"""Rows read at a time; where that fails, one at a time."""

_MESSAGE = f"n, {MESSAGE}"


@dataclass(frozen=True)
class Saved:
    """What was taken over."""

    messages: int
    whole: bool
    """Whether every row could be read, in time."""


def take_over(source: Path, target: sqlite3.Connection) -> Saved:
    """
    Copy into a new database what can still be read of a damaged one, the newest messages first.

    In one transaction; raises :exc:`sqlite3.Error` when the new one cannot be written.
    """
    reading = _Reading(source)
    try:
        with block(target):
            saved = _copy(reading, target)
    finally:
        reading.close()
    return Saved(saved, reading.whole)


def _copy(reading: _Reading, target: sqlite3.Connection) -> int:
    # The triggers of the new one count what waits.
    for row in reading.rows("bridges", f"{BRIDGE}, last_seq"):
        if row[2] in get_args(BridgeState):
            _insert(target, "bridges", f"{BRIDGE}, last_seq", row)
    for row in reading.rows("approvals", APPROVAL):
        if _is_json(row[3]) and _is_json(row[8]) and (row[10] is None or _is_json(row[10])):
            _insert(target, "approvals", APPROVAL, row)
    messages = 0
    for row in reading.rows("messages", _MESSAGE):
        if _is_message(row):
            messages += _insert(target, "messages", _MESSAGE, row)
        else:
            reading.whole = False
    tries = "rowid, message, at, step, result, detail"
    for row in reading.rows("attempts", tries):
        _insert(target, "attempts", tries, row)
    target.execute(
        "UPDATE bridges SET last_seq = max(last_seq, (SELECT coalesce(max(seq), 0) FROM messages "
        "WHERE bridge = bridges.id))"
    )
    # When a person spoke last is of no use without all that came since.
    target.execute("INSERT OR IGNORE INTO words (bridge, seq) SELECT id, last_seq FROM bridges")
    return messages


def _insert(target: sqlite3.Connection, table: str, columns: str, row: Sequence[Any]) -> int:
    try:
        return insert(target, table, columns, row)
    except sqlite3.IntegrityError:  # what it belongs to could not be read
        return 0


def _is_message(row: Sequence[Any]) -> bool:
    lawful = row[4] in get_args(Direction) and row[7] in TRANSITIONS
    return lawful and isinstance(row[6], str) and _is_json(row[14])


def _is_json(text: object) -> bool:
    if not isinstance(text, str):
        return False
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


class _Reading:
    """A damaged database, read row by row around what cannot be read."""

    def __init__(self, path: Path) -> None:
        self.whole = True
        self._until = time.monotonic() + PATIENCE
        self._db = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None)
        self._db.text_factory = _text

    def close(self) -> None:
        self._db.close()

    def rows(self, table: str, columns: str) -> Iterator[Sequence[Any]]:
        """Yield what can be read of a table, the latest rows first."""
        last = self._read(f"SELECT max(rowid) FROM {table}")
        top = last[0][0] if last else None
        if last is None:
            self.whole = False
        while isinstance(top, int) and top > 0:
            if time.monotonic() > self._until:
                self.whole = False
                return
            yield from self._between(table, columns, max(top - CHUNK, 0), top)
            top -= CHUNK

    def _between(self, table: str, columns: str, low: int, high: int) -> Iterator[Sequence[Any]]:
        query = f"SELECT {columns} FROM {table} WHERE rowid > ? AND rowid <= ? ORDER BY rowid DESC"
        found = self._read(query, (low, high))
        if found is not None:
            yield from found
            return
        self.whole = False
        for rowid in range(high, low, -1):
            yield from self._read(query, (rowid - 1, rowid)) or ()

    def _read(self, query: str, values: tuple[int, ...] = ()) -> list[Sequence[Any]] | None:
        try:
            return self._db.execute(query, values).fetchall()
        except (sqlite3.Error, OverflowError):
            return None


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
