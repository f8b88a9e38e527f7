"""What SQLite complains of is told as what a person can do."""

import sqlite3
from pathlib import Path

import pytest

from agentbridged.store.faults import Fault, explain, fault_of


def complaint(code: int | None, text: str = "") -> sqlite3.Error:
    error = sqlite3.OperationalError(text)
    if code is not None:
        error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "fault", "advice"),
    [
        (sqlite3.SQLITE_READONLY, Fault.READ_ONLY, "read-only"),
        (sqlite3.SQLITE_READONLY_DIRECTORY, Fault.READ_ONLY, "writable for you"),
        (sqlite3.SQLITE_FULL, Fault.FULL, "free some space"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, Fault.LOCKED, "another program holds a lock"),
        (sqlite3.SQLITE_IOERR_FSYNC, Fault.UNREADABLE, "check the disk"),
        (sqlite3.SQLITE_CORRUPT_VTAB, Fault.DAMAGED, "damaged"),
        (sqlite3.SQLITE_NOTADB, Fault.DAMAGED, "damaged"),
    ],
)
def test_a_fault_of_the_world_says_what_to_do(code: int, fault: Fault, advice: str) -> None:
    error = complaint(code)
    assert fault_of(error) is fault
    line = explain(Path("/x/a.db"), error)
    assert advice in line
    assert "/x/a.db" in line


def test_a_file_that_cannot_be_opened_is_a_matter_of_permissions() -> None:
    error = complaint(sqlite3.SQLITE_CANTOPEN, "unable to open database file")
    assert "permissions" in explain(Path("/x/a.db"), error)


@pytest.mark.parametrize("code", [sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY, sqlite3.SQLITE_ERROR, None])
def test_a_fault_of_ours_is_none_of_the_worlds(code: int | None) -> None:
    error = complaint(code, "something new")
    assert fault_of(error) is None
    assert "failed: something new" in explain(Path("/x/a.db"), error)
