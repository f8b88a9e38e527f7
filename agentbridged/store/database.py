"""The open database: transactions, and reading."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agentbridged.store.schema import explained, open_database

_OUTER = ("BEGIN IMMEDIATE", "COMMIT", ("ROLLBACK",))
_INNER = ("SAVEPOINT block", "RELEASE block", ("ROLLBACK TO block", "RELEASE block"))


class Database:
    """One SQLite file; *clock* returns Unix seconds."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        """Open the file and bring it up to date; raises :exc:`StoreError`."""
        self.path = path
        self._clock = clock
        self._db = open_database(path)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """
        Group writes: all of them are on disk when the block ends, or none if it raises.

        Blocks nest; only the outermost waits for the disk. Nothing may be awaited inside.
        """
        begin, commit, undo = _INNER if self._db.in_transaction else _OUTER
        with explained(self.path):
            self._db.execute(begin)
            try:
                yield
                self._db.execute(commit)
            except BaseException:
                if self._db.in_transaction:  # a full disk ends it without being asked
                    for statement in undo:
                        self._db.execute(statement)
                raise

    def _read(self, sql: str, values: tuple[Any, ...]) -> list[Any]:
        with explained(self.path):
            return self._db.execute(sql, values).fetchall()
