"""
The open database: transactions, reading, and what is done when it fails.

It never fails to open: where no file can be used, work goes on in memory. A write that cannot be
kept raises :exc:`StoreUnavailable` and has changed nothing; :attr:`Database.health` says why, and
the next write, or :meth:`Database.recheck`, tries again.
"""

from __future__ import annotations

import functools
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from agentbridged.errors import StoreDamaged, StoreError, StoreUnavailable
from agentbridged.store import files, shadows
from agentbridged.store.faults import Fault, explain, fault_of, room
from agentbridged.store.health import Health
from agentbridged.store.salvage import take_over
from agentbridged.store.schema import (
    BUSY_TIMEOUT,
    SCHEMA_VERSION,
    block,
    open_database,
    open_memory,
)

_OUTER = ("BEGIN IMMEDIATE", "COMMIT", ("ROLLBACK",))
_SHADOW = ("BEGIN", "COMMIT", ("ROLLBACK",))
_INNER = ("SAVEPOINT block", "RELEASE block", ("ROLLBACK TO block", "RELEASE block"))

ROOM = 1024 * 1024
"""Bytes that must be free before a disk that was full is written to again."""


D = TypeVar("D", bound="Database")
P = ParamSpec("P")
R = TypeVar("R")


def shadowed(write: Callable[Concatenate[D, P], R]) -> Callable[Concatenate[D, P], R]:
    """Let a method that writes only small tables go on in memory while they cannot be kept."""

    @functools.wraps(write)
    def wrapped(self: D, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return write(self, *args, **kwargs)
        except StoreUnavailable:
            if self.is_writing:
                raise  # the whole block is taken back
        with self.on_shadows():
            return write(self, *args, **kwargs)

    return wrapped


class Database:
    """One SQLite file; *clock* returns Unix seconds."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        """Open the file and bring it up to date; where that fails, work in memory."""
        self.path = path
        self.health = Health(clock)
        self._clock = clock
        self._place: tuple[int, int] | None = None
        """Device and inode of the open file."""
        self._shadowing = False
        self._was_full = False
        self._bridges: dict[str, shadows.Row] = {}
        self._approvals: dict[str, shadows.Row] = {}
        """Rows of the small tables as they were last read: known even without a file."""
        self.health.aside = files.found_aside(path)
        self._db = self._open()

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """
        Group writes: all of them are on disk when the block ends, or none if it raises.

        Blocks nest; only the outermost waits for the disk. Nothing may be awaited inside.
        """
        if self._db.in_transaction:
            with block(self._db, *_INNER):
                yield
            return
        self._prepare()
        try:
            with block(self._db, *(_SHADOW if self._shadowing else _OUTER)):
                yield
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _read(self, sql: str, values: tuple[Any, ...]) -> list[Any]:
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            if fault_of(error) is None:
                raise StoreError(explain(self.path, error)) from error
            if self._db.in_transaction:
                raise  # whoever opened the block takes it back, and says what it means
            failed = self._failed(error)
            if not isinstance(failed, StoreUnavailable) or fault_of(error) is Fault.LOCKED:
                raise failed from error
        if self.health.state == "refusing":
            self._work_in_memory(self.health.reason)
        return self._db.execute(sql, values).fetchall()

    # What is done about a failure

    def must_keep(self) -> None:
        """Raise :exc:`StoreUnavailable` where what follows could not be kept on disk."""
        if self.health.state == "memory" and not self.recheck():
            raise self._unavailable()

    def recheck(self) -> bool:
        """
        Try whether things can be kept again, and take up the file then; whether they can.

        Not within a transaction: it would end in another file than it began in.
        """
        if self.is_writing:
            return self.health.ok
        if self.health.state == "memory":
            self._return_to_file()
        elif self.health.state == "refusing":
            self._try_again()
        return self.health.ok

    def _prepare(self) -> None:
        """Before a write: see that it goes to the file that has our name."""
        if self._shadowing or self.health.state == "memory":
            return
        if self.health.ok and not self._is_in_place():
            self.health.fail("refusing", f"the database {self.path} is gone")
        if not self.recheck():
            raise self._unavailable()

    def _unavailable(self) -> StoreUnavailable:
        return StoreUnavailable(f"nothing was done, as it cannot be kept: {self.health.reason}")

    def _failed(self, error: sqlite3.Error) -> StoreError:
        """Take note of an error, and return what is raised for it."""
        fault = fault_of(error)
        if fault is None or self.health.state == "memory":
            return StoreError(explain(self.path, error))
        if fault is Fault.DAMAGED:
            self._begin_anew(error)
            if self.health.ok:
                return StoreUnavailable(f"nothing was done, try again: {self.health.loss}")
        else:
            self._was_full = fault is Fault.FULL
            self.health.fail("refusing", explain(self.path, error))
        return self._unavailable()

    def _is_in_place(self) -> bool:
        return self._place == _place_of(self.path)

    def _open(self) -> sqlite3.Connection:
        try:
            return self._open_file()
        except StoreError as error:
            self.health.fail("memory", str(error))
        memory = open_memory()
        shadows.seed(self.path, memory)
        shadows.remember(memory)
        return memory

    def _open_file(self) -> sqlite3.Connection:
        with suppress(OSError):  # what is wrong with it, opening the file says better
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.settle(self.path)
        try:
            database = open_database(self.path, self._replace)
        except StoreDamaged as damaged:
            if damaged.aside is None:
                raise
            self.health.put_aside(damaged.aside)
            self.health.lost(str(damaged))
            database = open_database(self.path)
        self._place = _place_of(self.path)
        return database

    def _replace(self, error: sqlite3.Error) -> StoreDamaged:
        """Put a damaged file aside; in its place comes a new one with what can still be read."""
        damage = explain(self.path, error)
        try:
            making = files.partial(self.path)
            with closing(open_database(making)) as fresh:
                saved = take_over(self.path, fresh)
            aside = files.replace(self.path, "damaged")
        except (StoreError, sqlite3.Error, OSError) as failure:
            return StoreDamaged(f"{damage}, and cannot be put aside: {failure}", None)
        kept = "all of it" if saved.whole else "what could be read"
        return StoreDamaged(
            f"{damage}; it is kept as {aside}, and a new one holds {kept}: "
            f"{saved.messages} messages",
            aside,
        )

    def _begin_anew(self, error: sqlite3.Error) -> None:
        """The file turned out to be damaged: go on with another one, or in memory."""
        known = self._known()
        damaged = self._replace(error)
        self._db.close()  # after the renaming: SQLite finishes nothing in a file that was moved
        try:
            if damaged.aside is None:
                raise damaged
            self.health.put_aside(damaged.aside)
            self.health.lost(str(damaged))
            self._db = self._open_file()
        except StoreError as failure:
            self._db = open_memory()
            self.health.fail("memory", str(failure))
        shadows.put_back(self._db, known)
        if self.health.state == "memory":
            shadows.remember(self._db)
        else:
            self.health.mend()

    def _work_in_memory(self, reason: str) -> None:
        known = self._known()
        self._db.close()
        self._db = open_memory()
        shadows.put_back(self._db, known)
        shadows.remember(self._db)
        self.health.fail("memory", reason)

    def _known(self) -> shadows.Small:
        """Return the small tables as far as they are known without the file."""
        try:
            return shadows.taken_from(self._db)
        except sqlite3.Error:
            return shadows.Small(list(self._bridges.values()), list(self._approvals.values()))

    @property
    def is_writing(self) -> bool:
        """Whether a transaction is open."""
        return self._db.in_transaction

    @contextmanager
    def on_shadows(self) -> Iterator[None]:
        """Write the small tables in memory for now; :meth:`recheck` brings them to the file."""
        if self.health.state == "refusing":
            shadows.cast(self._db)
            self._shadowing = True
        try:
            yield
        finally:
            self._shadowing = False

    def _try_again(self) -> None:
        """Write what waits in memory, and something in any case; ok if that succeeds."""
        try:
            if not self._is_in_place():
                self._write_anew()
            if self._was_full and room(self.path) < ROOM:
                return
            self._db.execute("PRAGMA busy_timeout = 0")  # it waited once already
            with block(self._db, *_OUTER):
                shadows.bring_home(self._db)
                self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            shadows.drop(self._db)
        except (sqlite3.Error, StoreError, OSError) as error:
            self._still_failing(error)
            return
        finally:
            self._db.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT * 1000)}")
        self.health.mend()

    def _still_failing(self, error: Exception) -> None:
        match error:
            case sqlite3.Error() if fault_of(error) is Fault.DAMAGED:
                self._begin_anew(error)
            case sqlite3.Error():
                self.health.fail("refusing", explain(self.path, error))
            case OSError():
                self.health.fail(
                    "refusing", f"the database {self.path} cannot be written: {error.strerror}"
                )
            case _:
                self.health.fail("refusing", str(error))

    def _write_anew(self) -> None:
        """The file is gone, but it is open here: write all of it to its place again."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with closing(open_database(files.partial(self.path))) as target:
            self._db.backup(target)
        files.replace(self.path, "stray")  # what is there now is not ours
        old, self._db = self._db, self._open_file()
        shadows.put_back(self._db, shadows.taken_from(old))
        old.close()

    def _return_to_file(self) -> None:
        """Take up the file if it can be used again, with what was said meanwhile."""
        try:
            file = self._open_file()
        except StoreError as error:
            self.health.fail("memory", str(error))
            return
        try:
            shadows.merge(self._db, file)
        except sqlite3.Error as error:
            file.close()
            self.health.fail("memory", explain(self.path, error))
            return
        memory, self._db = self._db, file
        memory.close()
        self.health.mend()


def _place_of(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
