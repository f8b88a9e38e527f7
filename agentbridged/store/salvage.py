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
from itertools import chain
from pathlib import Path
from typing import Any, get_args

from agentbridged.machines.outbox import TRANSITIONS, UNFINISHED
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
    Copy into a new database what can still be read of a damaged one.

    First the messages that wait, then the newest. In one transaction; raises
    :exc:`sqlite3.Error` when the new one cannot be written.
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
        _take(reading, target, "bridges", f"{BRIDGE}, last_seq", row, fits=_is_bridge(row))
    for row in reading.rows("approvals", APPROVAL):
        _take(reading, target, "approvals", APPROVAL, row, fits=_is_approval(row))
    taken: set[int] = set()
    for row in chain(reading.unfinished(_MESSAGE), reading.rows("messages", _MESSAGE)):
        if row[0] not in taken and _take(
            reading, target, "messages", _MESSAGE, row, fits=_is_message(row)
        ):
            taken.add(row[0])
    _copy_tries(reading, target)
    target.execute(
        "UPDATE bridges SET last_seq = max(last_seq, (SELECT coalesce(max(seq), 0) FROM messages "
        "WHERE bridge = bridges.id))"
    )
    # When a person spoke last is of no use without all that came since.
    target.execute("INSERT OR IGNORE INTO words (bridge, seq) SELECT id, last_seq FROM bridges")
    return len(taken)


def _copy_tries(reading: _Reading, target: sqlite3.Connection) -> None:
    """
    Copy the tries at messages, first those at what is under way to Codex.

    Where they cannot all be read, what is under way without one may be there already: it is noted
    as sent to the bridge's thread, so that it is looked for before it is sent again.
    """
    under_way = (
        "FROM messages m JOIN bridges b ON b.id = m.bridge "
        "WHERE m.direction = 'to_codex' AND m.state IN ('accepted', 'written')"
    )
    tries = "rowid, message, at, step, result, detail"
    for (id,) in target.execute(f"SELECT m.id {under_way}").fetchall():
        for row in reading.of_message("attempts", tries, id):
            _insert(target, "attempts", tries, row)
    for row in reading.rows("attempts", tries):
        _insert(target, "attempts", tries, row)
    if not reading.has_all_of("attempts"):
        target.execute(
            "INSERT INTO attempts (message, at, step, result, detail) "
            f"SELECT m.id, m.changed_at, 'salvage', 'sending', b.thread_id {under_way} "
            "AND b.thread_id IS NOT NULL "
            "AND NOT EXISTS (SELECT 1 FROM attempts WHERE message = m.id)"
        )


def _take(
    reading: _Reading,
    target: sqlite3.Connection,
    table: str,
    columns: str,
    row: Sequence[Any],
    *,
    fits: bool,
) -> bool:
    """Copy a row, if it *fits*: a version of ours would write it; whether it was copied."""
    taken = fits and _insert(target, table, columns, row) > 0
    if not taken:
        reading.misses(table)
    return taken


def _insert(target: sqlite3.Connection, table: str, columns: str, row: Sequence[Any]) -> int:
    try:
        return insert(target, table, columns, row)
    except sqlite3.IntegrityError:  # what it belongs to could not be read
        return 0


def _is_bridge(row: Sequence[Any]) -> bool:
    return row[2] in get_args(BridgeState)


def _is_approval(row: Sequence[Any]) -> bool:
    return _is_json(row[3]) and _is_json(row[8]) and (row[10] is None or _is_json(row[10]))


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
        self._missing: set[str] = set()
        """Tables that could not be taken over whole."""
        self._until = time.monotonic() + PATIENCE
        self._db = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None)
        self._db.text_factory = _text

    @property
    def whole(self) -> bool:
        """Whether nothing was missed."""
        return not self._missing

    def has_all_of(self, table: str) -> bool:
        """Whether nothing of this table was missed."""
        return table not in self._missing

    def misses(self, table: str) -> None:
        """Something of a table is not taken over."""
        self._missing.add(table)

    def close(self) -> None:
        self._db.close()

    def unfinished(self, columns: str) -> Iterator[Sequence[Any]]:
        """Yield the messages that wait, however old, as far as the index tells of them."""
        for state in sorted(UNFINISHED):  # each has its index
            yield from self._read(f"SELECT {columns} FROM messages WHERE state = '{state}'") or ()

    def of_message(self, table: str, columns: str, id: str) -> list[Sequence[Any]]:
        """Read one message's rows of a table, as far as its index tells of them."""
        found = self._read(f"SELECT {columns} FROM {table} WHERE message = ?", (id,))
        return found or []

    def rows(self, table: str, columns: str) -> Iterator[Sequence[Any]]:
        """Yield what can be read of a table, the latest rows first."""
        last = self._read(f"SELECT max(rowid) FROM {table}")
        top = last[0][0] if last else None
        if last is None:
            self.misses(table)
        while isinstance(top, int) and top > 0:
            if time.monotonic() > self._until:
                self.misses(table)
                return
            yield from self._between(table, columns, max(top - CHUNK, 0), top)
            top -= CHUNK

    def _between(self, table: str, columns: str, low: int, high: int) -> Iterator[Sequence[Any]]:
        query = f"SELECT {columns} FROM {table} WHERE rowid > ? AND rowid <= ? ORDER BY rowid DESC"
        found = self._read(query, (low, high))
        if found is not None:
            yield from found
            return
        self.misses(table)
        for rowid in range(high, low, -1):
            yield from self._read(query, (rowid - 1, rowid)) or ()

    def _read(self, query: str, values: tuple[int | str, ...] = ()) -> list[Sequence[Any]] | None:
        try:
            return self._db.execute(query, values).fetchall()
        except (sqlite3.Error, OverflowError):
            return None


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
