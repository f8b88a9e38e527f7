"""Opening the database: made private, migrated whole, and never overwritten."""

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from agentbridged.errors import StoreDamaged, StoreError
from agentbridged.store import schema
from agentbridged.store.schema import open_database


def test_a_new_database_is_private_and_current(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    connection = open_database(path)
    connection.execute("INSERT INTO bridges (id, root, changed_at) VALUES ('a', '/a', 0)")
    for name in ("a.db", "a.db-wal", "a.db-shm"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert connection.execute("PRAGMA user_version").fetchone() == (schema.SCHEMA_VERSION,)
    connection.close()


def test_a_database_readable_by_others_is_made_private(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    open_database(path).close()
    path.chmod(0o644)
    open_database(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"this is no database, but a letter " * 200, b"\x00" * 9000])
def test_a_damaged_file_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="is damaged") as caught:
        open_database(path)
    assert path.read_bytes() == content
    assert str(path) in str(caught.value)


def test_a_damaged_file_is_given_to_who_replaces_it_while_it_is_open(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    open_database(path).close()
    content = bytearray(path.read_bytes())
    content[100:4096] = os.urandom(3996)
    path.write_bytes(content)

    def replace(error: sqlite3.Error) -> StoreDamaged:
        assert "malformed" in str(error)
        path.rename(tmp_path / "aside")
        return StoreDamaged("it was damaged", tmp_path / "aside")

    with pytest.raises(StoreDamaged, match="it was damaged"):
        open_database(path, replace)
    assert (tmp_path / "aside").read_bytes() == content


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    connection = open_database(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match="newer agentbridge"):
        open_database(path)


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE cats (name)")
    connection.close()
    with pytest.raises(StoreError, match="another program"):
        open_database(path)


def test_a_missing_directory_and_a_directory_in_the_files_place_are_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No such file"):
        open_database(tmp_path / "nowhere" / "a.db")
    with pytest.raises(StoreError, match="Is a directory"):
        open_database(tmp_path)


def test_a_migration_that_fails_leaves_the_schema_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.db"
    open_database(path).close()
    broken = ("CREATE TABLE later (x)", "CREATE NONSENSE")
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, broken))
    monkeypatch.setattr(schema, "SCHEMA_VERSION", schema.SCHEMA_VERSION + 1)
    with pytest.raises(StoreError):
        open_database(path)
    monkeypatch.undo()
    connection = open_database(path)
    tables = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'later'")
    assert tables.fetchone() == (0,)
    connection.close()


def test_the_next_version_migrates_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.db"
    connection = open_database(path)
    connection.execute("INSERT INTO bridges (id, root, changed_at) VALUES ('a', '/a', 0)")
    connection.close()
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, ("CREATE TABLE later (x)",)))
    monkeypatch.setattr(schema, "SCHEMA_VERSION", schema.SCHEMA_VERSION + 1)
    connection = open_database(path)
    assert connection.execute("SELECT id FROM bridges").fetchall() == [("a",)]
    assert connection.execute("SELECT count(*) FROM later").fetchone() == (0,)
    connection.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to read-only files")
def test_a_read_only_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    open_database(path).close()
    path.chmod(0o400)
    with pytest.raises(StoreError, match="Permission denied"):
        open_database(path)


def test_what_waits_is_found_by_an_index_and_not_by_a_walk(tmp_path: Path) -> None:
    connection = open_database(tmp_path / "a.db")
    for state in ("accepted", "written"):
        (plan,) = connection.execute(
            "EXPLAIN QUERY PLAN SELECT id FROM messages WHERE bridge = ? AND direction = ? "
            f"AND state = '{state}' ORDER BY seq",
            ("a", "to_codex"),
        ).fetchall()
        assert f"messages_{state}" in plan[3]
    connection.close()
