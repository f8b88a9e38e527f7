"""
The small tables (bridges, approvals) while their file cannot be written: in memory, and back again.

A shadow is a temporary table of the same name, which SQLite finds before the one in the file; so a
bridge is switched off and an approval answered although neither can be kept yet. Where there is no
file at all, a database in memory takes everything, and is merged into the file once there is one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from agentbridged.machines.outbox import State, may_move
from agentbridged.store.schema import block

BRIDGE = "id, root, state, changed_by, changed_at, reason, thread_id, cursor, attached"
APPROVAL = (
    "id, bridge, server, request_id, method, thread_id, turn_id, what, asked, state, result, "
    "answered_by, answered_at, asked_at, changed_at"
)
MESSAGE = (
    "id, bridge, seq, direction, sender, text, state, thread_id, turn_id, item_id, "
    "idempotency_key, when_busy, start_thread, prompts, in_reply_to, written_to, "
    "created_at, changed_at"
)
_UNNUMBERED = MESSAGE.replace("seq, ", "")
"""Of a message from memory: its number is the file's to give."""
OPEN = ("pending", "answered")
"""States of an approval that waits for a person, or for Codex's confirmation."""
_HANDED = ("written", "consumed")
"""States that say what came of a message for Claude."""
_SWITCH = "id, state, changed_by, changed_at, reason"
_TABLES = ("bridges", "approvals")

Row = Sequence[Any]


@dataclass
class Small:
    """The rows of the small tables, as their columns are listed here."""

    bridges: list[Row] = field(default_factory=list)
    approvals: list[Row] = field(default_factory=list)
    numbers: list[Row] = field(default_factory=list)
    """Of each bridge, its id and the number of its last message, where that is known."""


def taken_from(database: sqlite3.Connection) -> Small:
    """Read the small tables, or their shadows; raises :exc:`sqlite3.Error`."""
    return Small(
        database.execute(f"SELECT {BRIDGE} FROM bridges").fetchall(),
        database.execute(f"SELECT {APPROVAL} FROM approvals").fetchall(),
        database.execute("SELECT id, last_seq FROM bridges").fetchall(),
    )


def put_back(database: sqlite3.Connection, small: Small) -> None:
    """Write rows into the small tables, over older ones of the same id."""
    with block(database):
        for row in small.bridges:
            insert(database, "bridges", BRIDGE, row)
            database.execute(
                "UPDATE bridges SET state = ?, changed_by = ?, changed_at = ?, reason = ?, "
                "thread_id = ?, cursor = ?, attached = ? WHERE id = ?",
                (*row[2:], row[0]),
            )
        for row in small.approvals:
            insert(database, "approvals", APPROVAL, row, known="REPLACE")
        for id, number in small.numbers:  # a session sorts by them: none is given twice
            database.execute(
                "UPDATE bridges SET last_seq = max(last_seq, ?) WHERE id = ?", (number, id)
            )


def seed(path: Path, memory: sqlite3.Connection) -> None:
    """
    Let a database in memory know the bridges of a file that can only be read, if even that.

    And the open approvals. Not how far the threads were read: that is the file's to say, when it
    can be used again.
    """
    known = BRIDGE.replace("cursor", "NULL")
    ways = ["mode=ro"]
    if not _has_log(path):  # else what is in the file alone is not the truth
        ways.append("mode=ro&immutable=1")
    for way in ways:
        with suppress(sqlite3.Error, ValueError):
            source = sqlite3.connect(f"{path.as_uri()}?{way}", uri=True, timeout=0)
            with closing(source):
                small = Small(source.execute(f"SELECT {known} FROM bridges").fetchall())
                with suppress(sqlite3.Error):  # an older file has none
                    small.numbers = source.execute("SELECT id, last_seq FROM bridges").fetchall()
                    small.approvals = source.execute(
                        f"SELECT {APPROVAL} FROM approvals WHERE state IN {OPEN} "
                        "AND bridge IN (SELECT id FROM bridges) AND json_valid(request_id) "
                        "AND json_valid(asked) AND (result IS NULL OR json_valid(result))"
                    ).fetchall()
            put_back(memory, small)
            return


def _has_log(path: Path) -> bool:
    try:
        return Path(f"{path}-wal").stat().st_size > 0
    except OSError:
        return False


def cast(database: sqlite3.Connection) -> None:
    """Make the shadows, unless they are there."""
    if _are_cast(database):
        return
    for table in _TABLES:
        (ddl,) = database.execute(
            "SELECT sql FROM main.sqlite_master WHERE type = 'table' AND name = ?", (table,)
        ).fetchone()
        database.execute(ddl.replace("CREATE TABLE", "CREATE TEMP TABLE", 1))
        database.execute(f"INSERT INTO temp.{table} SELECT * FROM main.{table}")


def bring_home(database: sqlite3.Connection) -> None:
    """Write to the file what changed in the shadows, if there are any; in a transaction."""
    if not _are_cast(database):
        return
    database.execute("INSERT OR IGNORE INTO main.bridges SELECT * FROM temp.bridges")
    changed = "state, changed_by, changed_at, reason, attached"
    database.execute(
        f"UPDATE main.bridges SET ({changed}) = "
        f"(SELECT {changed} FROM temp.bridges AS shadow WHERE shadow.id = main.bridges.id)"
    )
    database.execute("INSERT OR REPLACE INTO main.approvals SELECT * FROM temp.approvals")


def drop(database: sqlite3.Connection) -> None:
    """Let go of the shadows."""
    for table in reversed(_TABLES):
        database.execute(f"DROP TABLE IF EXISTS temp.{table}")


def remember(memory: sqlite3.Connection) -> None:
    """Note how the bridges are: what is changed from here on was said in memory."""
    memory.execute(f"CREATE TEMP TABLE noted AS SELECT {_SWITCH} FROM bridges")


def merge(memory: sqlite3.Connection, file: sqlite3.Connection) -> None:
    """
    Write into the file what was said while there was only memory; in one transaction.

    Where a thread had been read to before stays as the file has it: what was missed is read back
    from there, and what is known by its item already comes to nothing.
    """
    small = taken_from(memory)
    noted = memory.execute(f"SELECT {_SWITCH} FROM noted").fetchall()
    with block(file):
        for row in small.bridges:
            _merge_bridge(file, row, switched=(row[0], *row[2:6]) not in noted)
        for row in small.approvals:
            insert(file, "approvals", APPROVAL, row, known="REPLACE")
        for row in memory.execute(f"SELECT {_UNNUMBERED} FROM messages ORDER BY n").fetchall():
            _merge_message(memory, file, row)
        # Nothing that was said in memory is held against anybody: sends were refused meanwhile.
        file.execute("INSERT OR REPLACE INTO words (bridge, seq) SELECT id, last_seq FROM bridges")


def _merge_bridge(file: sqlite3.Connection, row: Row, *, switched: bool) -> None:
    id, _, state, by, at, reason, thread_id, cursor, attached = row
    insert(file, "bridges", BRIDGE, row)
    if switched and by:  # by nobody: it is new, and may be known to the file
        file.execute(
            "UPDATE bridges SET state = ?, changed_by = ?, changed_at = ?, reason = ? WHERE id = ?",
            (state, by, at, reason, id),
        )
    file.execute(
        "UPDATE bridges SET thread_id = ?, cursor = ? "
        "WHERE id = ? AND ? IS NOT NULL AND thread_id IS NOT ?",
        (thread_id, cursor, id, thread_id, thread_id),
    )
    file.execute("UPDATE bridges SET attached = max(attached, ?) WHERE id = ?", (attached, id))


def _merge_message(memory: sqlite3.Connection, file: sqlite3.Connection, row: Row) -> None:
    id, bridge, item_id = row[0], row[1], row[8]
    known = file.execute(
        "SELECT id, state FROM messages WHERE id = ? OR (bridge = ? AND item_id = ?)",
        (id, bridge, item_id),
    ).fetchone()
    if known is not None:
        _merge_move(memory, file, row, *known)
        return
    file.execute("UPDATE bridges SET last_seq = last_seq + 1 WHERE id = ?", (bridge,))
    marks = ", ".join("?" * len(row))
    file.execute(
        f"INSERT INTO messages ({_UNNUMBERED}, seq) "
        f"VALUES ({marks}, (SELECT last_seq FROM bridges WHERE id = ?))",
        (*row, bridge),
    )
    _merge_attempts(memory, file, id, id)


def _merge_move(
    memory: sqlite3.Connection, file: sqlite3.Connection, row: Row, known: str, before: State
) -> None:
    """A message that the file has was heard again in memory: what came of it there stands."""
    id, state, written_to, changed_at = row[0], row[5], row[-3], row[-1]
    if state not in _HANDED or not may_move(before, state):
        return
    file.execute(
        "UPDATE messages SET state = ?, written_to = coalesce(?, written_to), changed_at = ? "
        "WHERE id = ?",
        (state, written_to, changed_at, known),
    )
    _merge_attempts(memory, file, id, known)


def _merge_attempts(
    memory: sqlite3.Connection, file: sqlite3.Connection, id: str, known: str
) -> None:
    tries = "at, step, result, detail"
    for row in memory.execute(f"SELECT {tries} FROM attempts WHERE message = ?", (id,)):
        insert(file, "attempts", f"message, {tries}", (known, *row))


def _are_cast(database: sqlite3.Connection) -> bool:
    found = database.execute("SELECT count(*) FROM temp.sqlite_master WHERE name = 'bridges'")
    return bool(found.fetchone()[0])


def insert(
    database: sqlite3.Connection,
    table: str,
    columns: str,
    row: Row,
    *,
    known: Literal["IGNORE", "REPLACE"] = "IGNORE",
) -> int:
    """Add a row; one that is *known* is left, or replaced. Returns how many were written."""
    marks = ", ".join("?" * len(row))
    return database.execute(
        f"INSERT OR {known} INTO {table} ({columns}) VALUES ({marks})", row
    ).rowcount
