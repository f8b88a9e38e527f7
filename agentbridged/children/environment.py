"""
The environment of managed children: the user's own, without what belongs to other programs.

Under a service manager the variables of the user's shell are missing, API keys among them. So they
are taken once from their login shell, as editors do. Values are never logged.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from agentbridged.wire.admin import utc

SHELL_PATIENCE: Final = 5.0
"""Seconds a login shell has: its start files may do anything."""

OUTPUT_LIMIT: Final = 4 * 1024 * 1024
"""Bytes read of what a login shell prints."""

log = logging.getLogger(__name__)

_FOREIGN = re.compile(
    r"CLAUDE.*|ANTHROPIC_.*|NOTIFY_SOCKET|WATCHDOG_.*|LISTEN_.*|INVOCATION_ID|JOURNAL_STREAM"
    r"|MANAGERPID(FDID)?|RUNTIME_DIRECTORY|STATE_DIRECTORY|SYSTEMD_EXEC_PID|MEMORY_PRESSURE_.*"
    r"|FDSTORE|AGENTBRIDGE_(?!(RUNTIME_DIR|STATE_DIR|CONFIG)$).*"
)
"""
Names a child must not inherit.

Of ours it keeps those by which ``agentbridgectl``, run by an agent, finds this daemon.
"""

_OF_THE_SHELL = frozenset({"_", "SHLVL", "PWD", "OLDPWD", "SHELLOPTS", "BASHOPTS", "TERM"})
"""Names that tell of the asked shell itself, and nothing of the user."""


_PLACES = (
    *(".local/bin", "bin", ".npm-global/bin", ".volta/bin", ".bun/bin", ".local/share/pnpm"),
    *(".local/share/mise/shims", ".asdf/shims", "/opt/homebrew/bin"),
)
_BY_VERSION = (".nvm/versions/node", ".local/share/fnm/node-versions", ".local/share/nvm")
"""Directories of installations of Node.js, one below for each version."""


def usual_places(home: Path) -> list[str]:
    """Return where people's programs lie, for when no shell told: those that exist, by rank."""
    versions = [v for place in _BY_VERSION for v in (home / place).glob("v[0-9]*")]
    newest = sorted(versions, key=lambda v: [int(n) for n in re.findall(r"\d+", v.name)])[::-1]
    by_version = [v / below for v in newest for below in ("bin", "installation/bin")]
    places = [*(home / place for place in _PLACES), *by_version]
    return [str(place) for place in places if place.is_dir()]


def find_program(name: str, named: str | None, path: str | None, home: Path) -> str | None:
    """Return a program: as it was *named*, else on *path*, else in a usual place; None if none."""
    found = shutil.which(named or name, path=path)
    if found is None and not named:
        found = shutil.which(name, path=os.pathsep.join(usual_places(home)))
    return found


def scrubbed(environment: Mapping[str, str]) -> dict[str, str]:
    """Return *environment* without what belongs to Claude Code, the service manager, or to us."""
    return {name: value for name, value in environment.items() if not _FOREIGN.fullmatch(name)}


class LoginEnvironment:
    """
    What the user's login shell sets, asked for once.

    *own* is our environment, which the shell is started in, and which is the answer if it fails.
    """

    def __init__(self, own: Mapping[str, str] = os.environ) -> None:
        self._own = dict(own)
        self._asking = asyncio.Lock()
        self._found: dict[str, str] | None = None
        self._asked_at: float | None = None
        self._problem = ""

    def status(self) -> dict[str, Any]:
        """Tell of the asking: when, which shell, which variables by name alone, what went wrong."""
        return {
            "shell": self._shell,
            "taken_at": None if self._asked_at is None else utc(self._asked_at),
            "names": sorted(scrubbed(self._found or {})),
            "problem": self._problem,
        }

    @property
    def _shell(self) -> str:
        return self._own.get("SHELL") or "/bin/sh"

    async def get(self) -> dict[str, str]:
        """Return the scrubbed environment for a child: ours, overridden by the login shell's."""
        async with self._asking:
            if self._found is None:
                self._found = await self._ask()
        return scrubbed({**self._own, **self._found})

    def forget(self) -> None:
        """Ask the shell anew next time: the user may have changed its start files."""
        self._found = None

    async def _ask(self) -> dict[str, str]:
        shell = self._shell
        self._asked_at, self._problem = time.time(), ""
        mark = secrets.token_hex(16)
        try:
            async with asyncio.timeout(SHELL_PATIENCE):
                return _read(await _run(shell, mark, self._own), mark.encode())
        except TimeoutError:
            problem = f"did not answer within {SHELL_PATIENCE:g} s"
        except (OSError, ValueError) as error:
            problem = str(error)
        self._problem = problem
        log.warning(
            "the login shell %s %s; Codex gets the service's own environment "
            '(codex.environment = "inherit" silences this)',
            shlex.quote(shell),
            problem,
        )
        return {}


async def _run(shell: str, mark: str, environment: Mapping[str, str]) -> bytes:
    """Return what the shell prints up to the second mark; its group is ended in any case."""
    reading, writing = os.pipe()
    try:
        try:
            process = _start(shell, mark, environment, writing)
        finally:
            os.close(writing)
        try:
            return await _read_to_mark(reading, mark.encode())
        finally:
            # It is our child and not reaped yet, so the group's number is still its own.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    finally:
        os.close(reading)


def _start(
    shell: str, mark: str, environment: Mapping[str, str], output: int
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [shell, "-lic", f"printf %s {mark}; env -0; printf %s {mark}"],
        env=dict(environment),
        cwd=environment.get("HOME") or "/",
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


async def _read_to_mark(descriptor: int, mark: bytes) -> bytes:
    """Read up to the second mark: what the start files left running may hold the pipe open."""
    loop = asyncio.get_running_loop()
    os.set_blocking(descriptor, False)
    output = bytearray()
    ended = asyncio.Event()

    def readable() -> None:
        try:
            data = os.read(descriptor, 65536)
        except BlockingIOError:
            return
        output.extend(data)
        if not data or output.count(mark) > 1 or len(output) > OUTPUT_LIMIT:
            ended.set()

    loop.add_reader(descriptor, readable)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
    return bytes(output)


def _read(output: bytes, mark: bytes) -> dict[str, str]:
    """Take the environment from between the marks; raises :exc:`ValueError` without values."""
    parts = output.split(mark)
    if len(parts) != 3:
        raise ValueError("printed no environment")
    pairs = (entry.partition(b"=") for entry in parts[1].split(b"\0"))
    found = {os.fsdecode(name): os.fsdecode(value) for name, equals, value in pairs if equals}
    if "PATH" not in found:
        raise ValueError("printed no environment")
    return {name: value for name, value in found.items() if name not in _OF_THE_SHELL}
