"""The places on disk: sockets, state, database, settings."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import stat
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from agentbridged import config
from agentbridged.ctl.doctor.finding import Finding, Findings, shown
from agentbridged.errors import ConfigError
from agentbridged.paths import SOCKET_PATH_LIMIT, Paths

LOW, VERY_LOW = 500, 50
"""MB of free disk that are little, and too little."""
CHECK_PATIENCE = 5.0
"""Seconds for the database's own check, which reads the whole file."""
CONNECT_PATIENCE = 2.0


def runtime(paths: Paths, environment: Mapping[str, str], *, daemon: bool) -> list[Finding]:
    """Look at the directory of the sockets, and at each socket in it."""
    found = Findings("runtime", "sockets")
    where = shown(paths.runtime, environment)
    longest = len(os.fsencode(paths.private_app_server_socket))
    if longest > SOCKET_PATH_LIMIT:
        found.fail(
            f"{where} is too long for a Unix socket ({longest} bytes of {SOCKET_PATH_LIMIT})",
            "set AGENTBRIDGE_RUNTIME_DIR to a shorter directory",
        )
    if not paths.runtime.is_dir():
        text = f"{where} is not there"
        if daemon:
            found.fail(text, "restart the daemon: something removed its sockets")
        else:
            found.skipped(f"{text}; the daemon makes it")
        return found.all
    _directory(found, paths.runtime, where)
    for path in (paths.admin_socket, paths.claude_socket, paths.codex_socket):
        _socket(found, path, daemon=daemon)
    return found.all


def _directory(found: Findings, path: Path, where: str) -> None:
    about = path.stat()
    mode = stat.S_IMODE(about.st_mode)
    if about.st_uid != os.getuid():
        found.fail(
            f"{where} belongs to uid {about.st_uid}", "set AGENTBRIDGE_RUNTIME_DIR to one of yours"
        )
    elif mode & 0o077:
        found.fail(f"{where} is open to others (mode {mode:04o})", f"chmod 700 {where}")
    else:
        found.ok(f"{where} is yours alone")


def _socket(found: Findings, path: Path, *, daemon: bool) -> None:
    name = path.name
    try:
        about = path.lstat()
    except OSError:
        if daemon:
            found.fail(f"{name} is missing", "see `agentbridgectl status`, then restart", of=name)
        return
    mode = stat.S_IMODE(about.st_mode)
    if not stat.S_ISSOCK(about.st_mode):
        found.fail(f"{path} is no socket", f"remove {path}, then restart the daemon", of=name)
    elif about.st_uid != os.getuid() or mode & 0o077:
        found.fail(
            f"{path} is not yours alone (uid {about.st_uid}, mode {mode:04o})",
            "restart the daemon, which makes it anew",
            of=name,
        )
    elif problem := _unreachable(path):
        left = f"{name} is left over: {problem}"
        if daemon:
            found.fail(left, "see `agentbridgectl status`, then restart the daemon", of=name)
        else:
            found.ok(f"{left}; the next daemon replaces it", of=name)
    else:
        found.ok(f"{name} answers, mode {mode:04o}", of=name)


def _unreachable(path: Path) -> str:
    """Return why nobody can be reached at a socket; empty when somebody listens."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as connection:
        connection.settimeout(CONNECT_PATIENCE)
        try:
            connection.connect(str(path))
        except OSError as error:
            return error.strerror or "no answer"
    return ""


def state(paths: Paths, environment: Mapping[str, str]) -> list[Finding]:
    """Look at the directory that messages and logs are in, and at the room on its disk."""
    found = Findings("state", "disk")
    where = shown(paths.state, environment)
    place = next(p for p in (paths.state, *paths.state.parents) if p.exists())
    if not os.access(place, os.W_OK | os.X_OK):
        remedy = f"make {shown(place, environment)} yours, or set AGENTBRIDGE_STATE_DIR"
        found.fail(f"{where} cannot be written", remedy)
        return found.all
    free = shutil.disk_usage(place).free // 10**6
    if free < VERY_LOW:
        found.fail(f"{free} MB are free where {where} is", "make room: messages cannot be kept")
    elif free < LOW:
        found.warn(f"{free} MB are free where {where} is", "make room, before it is full")
    else:
        found.ok(f"{where} can be written, {free // 1000} GB are free")
    return found.all


def database(paths: Paths) -> list[Finding]:
    """Let SQLite look at the whole database, only reading it."""
    found = Findings("database", "database")
    path = paths.database
    if not path.exists():
        found.skipped("there is none yet")
        return found.all
    size = f"{path.stat().st_size / 10**6:.1f} MB"
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=1)) as opened:
            until = time.monotonic() + CHECK_PATIENCE
            opened.set_progress_handler(lambda: time.monotonic() > until, 10_000)
            (problem,) = opened.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            found.ok(f"{size}; it is too large to be read whole within {CHECK_PATIENCE:g} s")
        else:
            found.fail(f"{path}: {error}", "see whose it is, and whether another program holds it")
    except sqlite3.DatabaseError as error:
        _damaged(found, path, str(error))
    else:
        if problem == "ok":
            found.ok(f"{size}, sound")
        else:
            _damaged(found, path, problem)
    return found.all


def _damaged(found: Findings, path: Path, problem: str) -> None:
    found.fail(
        f"{path} is damaged: {problem}",
        "copy it, to be safe; the daemon keeps this file aside as soon as it meets the damage, "
        "and goes on with a new one that has what can be read",
    )


def settings(paths: Paths, environment: Mapping[str, str]) -> list[Finding]:
    """Read the settings."""
    found = Findings("config", "settings")
    where = shown(paths.config_file, environment)
    try:
        config.load(paths.config_file)
    except ConfigError as error:
        found.fail(str(error), f"mend it in {where}, then `agentbridgectl reload`")
    else:
        found.ok(where if paths.config_file.exists() else f"the defaults; {where} is not there")
    return found.all
