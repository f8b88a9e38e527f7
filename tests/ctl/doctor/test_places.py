import os
import shutil
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from agentbridged.ctl.doctor import places
from agentbridged.ctl.doctor.finding import Finding
from agentbridged.paths import Paths, from_environment
from agentbridged.store import Store


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "run").mkdir(mode=0o700)
    (tmp_path / "state").mkdir(mode=0o700)
    return {
        "HOME": str(tmp_path),
        "AGENTBRIDGE_RUNTIME_DIR": str(tmp_path / "run"),
        "AGENTBRIDGE_STATE_DIR": str(tmp_path / "state"),
        "AGENTBRIDGE_CONFIG": str(tmp_path / "config.toml"),
    }


@pytest.fixture
def paths(environment: dict[str, str]) -> Paths:
    return from_environment(environment)


@pytest.fixture
def listening(paths: Paths) -> Iterator[None]:
    sockets = []
    for path in (paths.admin_socket, paths.claude_socket, paths.codex_socket):
        sockets.append(socket.socket(socket.AF_UNIX))
        sockets[-1].bind(str(path))
        path.chmod(0o600)
        sockets[-1].listen()
    yield
    for each in sockets:
        each.close()


def states(findings: list[Finding]) -> dict[str, str]:
    return {finding.id: finding.state for finding in findings}


def failing(findings: list[Finding]) -> Finding:
    (found,) = [finding for finding in findings if finding.state == "fail"]
    assert found.remedy
    return found


def test_sockets_that_are_private_and_answer_are_well(
    paths: Paths, environment: dict[str, str], listening: None
) -> None:
    found = states(places.runtime(paths, environment, daemon=True))
    names = ["runtime", *(f"runtime.{name}.sock" for name in ("admin", "claude", "codex"))]
    assert found == dict.fromkeys(names, "ok")


def test_a_socket_that_others_may_use_is_told(
    paths: Paths, environment: dict[str, str], listening: None
) -> None:
    paths.claude_socket.chmod(0o666)
    found = failing(places.runtime(paths, environment, daemon=True))
    assert (found.id, "0666" in found.what) == ("runtime.claude.sock", True)


def test_a_directory_that_others_may_read_is_told(
    paths: Paths, environment: dict[str, str], listening: None
) -> None:
    paths.runtime.chmod(0o755)
    assert failing(places.runtime(paths, environment, daemon=True)).remedy == "chmod 700 ~/run"


def test_what_is_missing_or_no_socket_is_told_while_the_daemon_runs(
    paths: Paths, environment: dict[str, str], listening: None
) -> None:
    paths.codex_socket.unlink()
    assert "missing" in failing(places.runtime(paths, environment, daemon=True)).what
    paths.codex_socket.write_text("", encoding="utf-8")
    assert "no socket" in failing(places.runtime(paths, environment, daemon=True)).what


def test_a_left_over_socket_is_no_harm_without_a_daemon(
    paths: Paths, environment: dict[str, str]
) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(paths.admin_socket))
    paths.admin_socket.chmod(0o600)
    assert failing(
        [f for f in places.runtime(paths, environment, daemon=True) if "admin" in f.id]
    ).what.startswith("admin.sock is left over")
    assert set(states(places.runtime(paths, environment, daemon=False)).values()) == {"ok"}


def test_a_directory_that_is_too_long_or_missing_is_told(
    environment: dict[str, str], tmp_path: Path
) -> None:
    long = from_environment({**environment, "AGENTBRIDGE_RUNTIME_DIR": f"{tmp_path}/{'x' * 120}"})
    first, second = places.runtime(long, environment, daemon=False)
    assert ("too long" in first.what, second.state) == (True, "skipped")
    missing = from_environment({**environment, "AGENTBRIDGE_RUNTIME_DIR": str(tmp_path / "no")})
    assert failing(places.runtime(missing, environment, daemon=True)).what.endswith("not there")


class Usage(NamedTuple):
    free: int


@pytest.mark.parametrize(("mb", "expected"), [(49, "fail"), (499, "warn"), (501, "ok")])
def test_little_room_is_told_before_it_is_none(
    mb: int,
    expected: str,
    paths: Paths,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(mb * 10**6))
    assert states(places.state(paths, environment)) == {"state": expected}


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_directory_that_cannot_be_written_is_told(
    paths: Paths, environment: dict[str, str]
) -> None:
    paths.state.chmod(0o500)
    assert "cannot be written" in failing(places.state(paths, environment)).what


def test_a_database_is_looked_at_and_not_changed(paths: Paths) -> None:
    assert states(places.database(paths)) == {"database": "skipped"}
    store = Store(paths.database)
    try:
        store.ensure_bridge("a-1", "/a")
        assert states(places.database(paths)) == {"database": "ok"}
    finally:
        store.close()


def test_a_damaged_database_is_told(paths: Paths) -> None:
    paths.database.write_bytes(b"no database" * 1000)
    assert "damaged" in failing(places.database(paths)).what
    paths.database.unlink()
    with sqlite3.connect(paths.database) as opened:
        opened.execute("CREATE TABLE t (x TEXT)")
        opened.executemany("INSERT INTO t VALUES (?)", [("x" * 500,)] * 100)
    opened.close()
    whole = bytearray(paths.database.read_bytes())
    whole[4096:8192] = b"\xff" * 4096
    paths.database.write_bytes(whole)
    assert "damaged" in failing(places.database(paths)).what


def test_settings_are_read_and_a_wrong_one_is_named(
    paths: Paths, environment: dict[str, str]
) -> None:
    (found,) = places.settings(paths, environment)
    assert (found.state, "defaults" in found.what) == ("ok", True)
    paths.config_file.write_text("relay = 3\n", encoding="utf-8")
    assert "relay" in failing(places.settings(paths, environment)).what
