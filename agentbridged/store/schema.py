"""
The database file: opening it, its schema and its migrations.

SQLite in WAL mode with ``synchronous=FULL``: a commit that returned survives a power cut. The
schema's version is ``user_version``; ``application_id`` tells our file from another program's.
Written for SQLite 3.34 and later (no ``RETURNING``, no ``STRICT``), built with FTS5.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from agentbridged.errors import StoreDamaged, StoreError
from agentbridged.machines import governor
from agentbridged.store.faults import Fault, explain, fault_of
from agentbridged.store.files import COMPANIONS

APPLICATION_ID = 0x41427264
"""``ABrd``, in the file's header."""

BUSY_TIMEOUT = 2.0
"""Seconds to wait for another process's lock: only a backup or a person's shell takes one."""

_FIRST = (
    """
    CREATE TABLE bridges (
        id TEXT PRIMARY KEY,
        root TEXT NOT NULL UNIQUE,
        state TEXT NOT NULL DEFAULT 'active',
        changed_by TEXT NOT NULL DEFAULT '',
        changed_at REAL NOT NULL,
        reason TEXT NOT NULL DEFAULT '',
        thread_id TEXT,
        cursor TEXT,
        attached INTEGER NOT NULL DEFAULT 0,
        last_seq INTEGER NOT NULL DEFAULT 0,
        to_codex INTEGER NOT NULL DEFAULT 0,
        to_claude INTEGER NOT NULL DEFAULT 0
    )
    """,
    """
    CREATE TABLE messages (
        n INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        bridge TEXT NOT NULL REFERENCES bridges(id),
        seq INTEGER NOT NULL,
        direction TEXT NOT NULL,
        sender TEXT NOT NULL,
        text TEXT NOT NULL,
        state TEXT NOT NULL,
        thread_id TEXT,
        turn_id TEXT,
        item_id TEXT,
        idempotency_key TEXT,
        when_busy TEXT NOT NULL,
        start_thread INTEGER NOT NULL,
        prompts TEXT NOT NULL,
        in_reply_to TEXT,
        written_to TEXT,
        created_at REAL NOT NULL,
        changed_at REAL NOT NULL,
        UNIQUE (bridge, seq)
    )
    """,
    """
    CREATE TABLE attempts (
        message TEXT NOT NULL REFERENCES messages(id) ON DELETE CASCADE,
        at REAL NOT NULL,
        step TEXT NOT NULL,
        result TEXT NOT NULL,
        detail TEXT NOT NULL
    )
    """,
    "CREATE INDEX attempts_of_message ON attempts (message)",
    """
    CREATE UNIQUE INDEX messages_by_key ON messages (bridge, direction, idempotency_key)
        WHERE idempotency_key IS NOT NULL
    """,
    """
    CREATE UNIQUE INDEX messages_by_item ON messages (bridge, item_id)
        WHERE item_id IS NOT NULL
    """,
    "CREATE INDEX messages_by_turn ON messages (bridge, turn_id) WHERE turn_id IS NOT NULL",
    "CREATE INDEX messages_by_age ON messages (created_at)",
    # Partial: they hold only what waits, so they stay small however long the history is.
    """
    CREATE INDEX messages_accepted ON messages (bridge, direction, seq, created_at)
        WHERE state = 'accepted'
    """,
    "CREATE INDEX messages_written ON messages (bridge, direction, seq) WHERE state = 'written'",
    # The counters make `status` independent of how much waits.
    """
    CREATE TRIGGER waiting_insert AFTER INSERT ON messages WHEN new.state = 'accepted' BEGIN
        UPDATE bridges SET to_codex = to_codex + (new.direction = 'to_codex'),
                           to_claude = to_claude + (new.direction = 'to_claude')
        WHERE id = new.bridge;
    END
    """,
    """
    CREATE TRIGGER waiting_update AFTER UPDATE OF state ON messages
        WHEN old.state = 'accepted' AND new.state <> 'accepted' BEGIN
        UPDATE bridges SET to_codex = to_codex - (old.direction = 'to_codex'),
                           to_claude = to_claude - (old.direction = 'to_claude')
        WHERE id = old.bridge;
    END
    """,
    """
    CREATE TRIGGER waiting_delete AFTER DELETE ON messages WHEN old.state = 'accepted' BEGIN
        UPDATE bridges SET to_codex = to_codex - (old.direction = 'to_codex'),
                           to_claude = to_claude - (old.direction = 'to_claude')
        WHERE id = old.bridge;
    END
    """,
    # The bridge is indexed too, so that a common word in a small bridge is found without walking
    # through every other bridge's messages.
    """
    CREATE VIRTUAL TABLE messages_words USING fts5 (
        text, bridge, content = 'messages', content_rowid = 'n',
        tokenize = 'unicode61 remove_diacritics 2'
    )
    """,
    """
    CREATE TRIGGER words_insert AFTER INSERT ON messages BEGIN
        INSERT INTO messages_words (rowid, text, bridge) VALUES (new.n, new.text, new.bridge);
    END
    """,
    """
    CREATE TRIGGER words_delete AFTER DELETE ON messages BEGIN
        INSERT INTO messages_words (messages_words, rowid, text, bridge)
        VALUES ('delete', old.n, old.text, old.bridge);
    END
    """,
)

_APPROVALS = (
    """
    CREATE TABLE approvals (
        id TEXT PRIMARY KEY,
        bridge TEXT NOT NULL REFERENCES bridges(id),
        server TEXT NOT NULL,
        request_id TEXT NOT NULL,
        method TEXT NOT NULL,
        thread_id TEXT NOT NULL,
        turn_id TEXT,
        what TEXT NOT NULL,
        asked TEXT NOT NULL,
        state TEXT NOT NULL,
        result TEXT,
        answered_by TEXT NOT NULL,
        answered_at REAL,
        asked_at REAL NOT NULL,
        changed_at REAL NOT NULL
    )
    """,
    """
    CREATE INDEX approvals_open ON approvals (asked_at) WHERE state IN ('pending', 'answered')
    """,
    "CREATE INDEX approvals_by_age ON approvals (asked_at)",
)

_UNANSWERED = (
    """
    CREATE INDEX messages_unanswered ON messages (bridge)
        WHERE direction = 'to_codex' AND state IN ('written', 'consumed')
    """,
)

_WORDS = (
    # What a person said last; nothing is held against a bridge that was there before.
    """
    CREATE TABLE words (
        bridge TEXT PRIMARY KEY REFERENCES bridges(id),
        seq INTEGER NOT NULL
    )
    """,
    "INSERT INTO words (bridge, seq) SELECT id, last_seq FROM bridges",
)

LATENCIES = (0.01, 0.1, 1, 10, 60, 600)
"""Seconds, the upper ends of the histogram of deliveries; append none, or the old ones lie."""


def _added(kind: str, a: str, b: str, n: str = "1") -> str:
    """Return the statement that adds *n* to a tally; *a*, *b* and *n* are SQL."""
    return (
        f"INSERT INTO tallies (kind, a, b, n) SELECT '{kind}', {a}, {b}, {n} WHERE true "
        "ON CONFLICT (kind, a, b) DO UPDATE SET n = n + excluded.n;"
    )


_SPAN = "max(new.changed_at - new.created_at, 0)"
_BUCKET = " ".join(f"WHEN {_SPAN} <= {le} THEN '{le}'" for le in LATENCIES)

_WHO = f"CASE new.changed_by WHEN '{governor.BY}' THEN 'governor' ELSE 'person' END"

_TALLIES = (
    # What metrics ask, counted as it happens: as quick with a million messages as with one.
    """
    CREATE TABLE tallies (
        kind TEXT NOT NULL, a TEXT NOT NULL, b TEXT NOT NULL, n REAL NOT NULL,
        PRIMARY KEY (kind, a, b)
    ) WITHOUT ROWID
    """,
    "INSERT INTO tallies SELECT 'messages', direction, state, count(*) FROM messages GROUP BY 2, 3",
    "INSERT INTO tallies SELECT 'attempts', step, result, count(*) FROM attempts GROUP BY 2, 3",
    f"""
    CREATE TRIGGER tally_message AFTER INSERT ON messages BEGIN
        {_added("messages", "new.direction", "new.state")}
    END
    """,
    f"""
    CREATE TRIGGER tally_move AFTER UPDATE OF state ON messages
        WHEN old.state <> new.state BEGIN
        {_added("messages", "old.direction", "old.state", "-1")}
        {_added("messages", "new.direction", "new.state")}
    END
    """,
    f"""
    CREATE TRIGGER tally_delivery AFTER UPDATE OF state ON messages
        WHEN old.state = 'accepted' AND new.state IN ('written', 'consumed', 'answered') BEGIN
        {_added("delivery", "new.direction", f"CASE {_BUCKET} ELSE '+Inf' END")}
        {_added("delivery", "new.direction", "'sum'", _SPAN)}
    END
    """,
    f"""
    CREATE TRIGGER tally_forgotten AFTER DELETE ON messages BEGIN
        {_added("messages", "old.direction", "old.state", "-1")}
    END
    """,
    f"""
    CREATE TRIGGER tally_attempt AFTER INSERT ON attempts BEGIN
        {_added("attempts", "new.step", "new.result")}
    END
    """,
    f"""
    CREATE TRIGGER tally_switch AFTER UPDATE OF state ON bridges
        WHEN old.state <> new.state BEGIN
        {_added("switches", "new.state", _WHO)}
    END
    """,
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (*(_FIRST, _APPROVALS, _UNANSWERED, _WORDS, _TALLIES),)
"""Statements that take the schema from version *i* to *i* + 1, at index *i*; append only."""

SCHEMA_VERSION = len(MIGRATIONS)


def open_database(
    path: Path, replace: Callable[[sqlite3.Error], StoreDamaged] | None = None
) -> sqlite3.Connection:
    """
    Open the database at *path* (made with mode 0600 if missing) and bring its schema up to date.

    Raises :exc:`StoreError` that says what to do, and changes nothing in a file it cannot use. A
    damaged one is given to *replace*, which puts it aside and returns what to raise.
    """
    try:
        _make_file(path)
    except OSError as error:
        raise StoreError(
            f"cannot open the database {path}: {error.strerror}; "
            "make it readable and writable for you, or set AGENTBRIDGE_STATE_DIR to another place"
        ) from error
    connection: sqlite3.Connection | None = None
    try:
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)
        _check_ours(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        _configure(connection)
        _migrate(connection)
    except BaseException as error:
        try:
            if not isinstance(error, sqlite3.Error):
                raise
            if replace is not None and fault_of(error) is Fault.DAMAGED:
                raise replace(error) from error
            raise StoreError(explain(path, error)) from error
        finally:
            # Only now: SQLite finishes what it can in a file that it closes under its old name.
            if connection is not None:
                connection.close()
    return connection


def open_memory() -> sqlite3.Connection:
    """Open an empty database in memory."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    _configure(connection)
    _migrate(connection)
    return connection


def _configure(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA cell_size_check = ON")


def _make_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if stat.S_IMODE(os.fstat(descriptor).st_mode) != 0o600:
            os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)
    for companion in COMPANIONS[1:]:  # SQLite makes them as the file was then: read-only, say
        with suppress(FileNotFoundError):
            os.chmod(f"{path}{companion}", 0o600)


def _check_ours(connection: sqlite3.Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if tables and application != APPLICATION_ID:
        raise StoreError(
            f"{path} is a database of another program; "
            "move it away, or set AGENTBRIDGE_STATE_DIR to another place"
        )
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{path} was written by a newer agentbridge (schema {version}, this one knows "
            f"{SCHEMA_VERSION}); install that version again, or move the file away to start anew"
        )


def _migrate(connection: sqlite3.Connection) -> None:
    """Apply what is missing; each step is one transaction, so a crash leaves a whole schema."""
    while connection.execute("PRAGMA user_version").fetchone()[0] < SCHEMA_VERSION:
        with block(connection):
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version < SCHEMA_VERSION:
                for statement in MIGRATIONS[version]:
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {version + 1}")


@contextmanager
def block(
    database: sqlite3.Connection,
    begin: str = "BEGIN IMMEDIATE",
    commit: str = "COMMIT",
    undo: tuple[str, ...] = ("ROLLBACK",),
) -> Iterator[None]:
    """Group statements: all of them count when the block ends, or none if it raises."""
    database.execute(begin)
    try:
        yield
        database.execute(commit)
    except BaseException:
        if database.in_transaction:  # a full disk ends it without being asked
            for statement in undo:
                database.execute(statement)
        raise
