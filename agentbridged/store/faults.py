"""
What SQLite's errors mean: which are faults of the world, and what a person is told of each.

A fault of the world (a full disk, a lock, a damaged file) says nothing against the statement: it
may succeed later. Whatever else SQLite complains of is a fault of ours.
"""

from __future__ import annotations

import enum
import os
import sqlite3
import sys
from pathlib import Path

SCANT = 128 * 1024
"""Bytes that SQLite needs at least to open and write a database."""


class Fault(enum.Enum):
    """What is wrong with the file or its disk."""

    FULL = "full"
    LOCKED = "locked"
    READ_ONLY = "read-only"
    DAMAGED = "damaged"
    UNREADABLE = "unreadable"
    """The disk reports errors, or the file cannot be opened."""


_FAULTS = {
    sqlite3.SQLITE_FULL: Fault.FULL,
    sqlite3.SQLITE_BUSY: Fault.LOCKED,
    sqlite3.SQLITE_LOCKED: Fault.LOCKED,
    sqlite3.SQLITE_PROTOCOL: Fault.LOCKED,
    sqlite3.SQLITE_READONLY: Fault.READ_ONLY,
    sqlite3.SQLITE_PERM: Fault.READ_ONLY,
    sqlite3.SQLITE_CORRUPT: Fault.DAMAGED,
    sqlite3.SQLITE_NOTADB: Fault.DAMAGED,
    sqlite3.SQLITE_IOERR: Fault.UNREADABLE,
    sqlite3.SQLITE_CANTOPEN: Fault.UNREADABLE,
}


def fault_of(error: sqlite3.Error) -> Fault | None:
    """Return the fault of the world behind an error; ``None`` for a fault of ours."""
    code = getattr(error, "sqlite_errorcode", None)  # missing where Python's own part complains
    return None if code is None else _FAULTS.get(code & 0xFF)


def room(path: Path) -> int:
    """Return the bytes that are free where a file is or would be; many when nobody can tell."""
    try:
        found = os.statvfs(path.parent)
    except OSError:
        return sys.maxsize
    return found.f_bavail * found.f_frsize


def explain(path: Path, error: sqlite3.Error) -> str:
    """Say in one line what an error means for the person, and what to do."""
    fault = fault_of(error)
    if fault is Fault.UNREADABLE:
        return _unreadable(path, error)
    return _WORDS[fault].format(path=path, error=error)


def _unreadable(path: Path, error: sqlite3.Error) -> str:
    if room(path) < SCANT:  # SQLite tells of a full disk in many ways
        return _WORDS[Fault.FULL].format(path=path)
    if "unable to open" in str(error):
        return f"cannot open the database {path}; check the directory's permissions"
    return f"the disk that holds {path} reports errors ({error}); check the disk"


_WORDS = {
    Fault.READ_ONLY: "the database {path} is read-only; make it and its directory writable for you",
    Fault.FULL: "the disk that holds {path} is full; free some space there",
    Fault.LOCKED: "another program holds a lock on {path}; end it and try again",
    Fault.DAMAGED: "the database {path} is damaged ({error})",
    None: "the database {path} failed: {error}",
}
