"""
Which Claude Code session this is: its process, its current id, its transcript.

The environment's session id is that of the start; after ``/clear`` only Claude Code's own
``sessions/<pid>.json`` has the current one (measured, 2.1.330).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

_ID = r"[A-Za-z0-9_-]+"


class Now(NamedTuple):
    """A session at one moment, as Claude Code's own record has it."""

    id: str
    """Its current id; empty when nothing tells it."""
    idle: bool
    """Whether Claude Code says that the session has nothing to do."""
    protocol: object
    """The version of what its inbox speaks; :obj:`None` where Claude Code does not say."""


class Session:
    """The session that started this server."""

    def __init__(self, environment: Mapping[str, str], *, parent: int, cwd: Path) -> None:
        self._environment = environment
        self._parent = parent
        configured = environment.get("CLAUDE_CONFIG_DIR")
        home = Path(environment.get("HOME") or Path.home())
        self.config_dir = Path(configured) if configured else home / ".claude"
        self.project_dir = Path(environment.get("CLAUDE_PROJECT_DIR") or cwd)
        self._since = time.time()
        self._pid: int | None = None
        self._told: tuple[str, Path | None] = ("", None)
        self.version = ""
        """Claude Code's version, as it introduced itself."""

    @property
    def pid(self) -> int:
        """Claude Code's process: our parent, or, behind a wrapper, the ancestor it is."""
        if self._pid is None:
            self._pid = self._find()
        return self._pid

    @property
    def id(self) -> str:
        """The current session id; empty when nothing tells it."""
        return self.now().id

    def now(self) -> Now:
        """Read what Claude Code says of the session just now."""
        record = self._record()
        current = record.get("sessionId")
        if not (isinstance(current, str) and current):
            current = self._told[0] or self._environment.get("CLAUDE_CODE_SESSION_ID", "")
        return Now(current, record.get("status") == "idle", record.get("peerProtocol"))

    def told(self, session_id: str, transcript: str) -> None:
        """A hook of the session's named its present id, and where its transcript is."""
        if re.fullmatch(_ID, session_id):
            path = Path(transcript)
            self._told = (session_id, path if path.is_absolute() else None)

    def command(self) -> list[str]:
        """Return Claude Code's command line; empty when it cannot be had."""
        try:  # no import in a session's first moments, where the kernel tells it as a file
            return Path(f"/proc/{self.pid}/cmdline").read_text(encoding="utf-8").split("\0")
        except (OSError, UnicodeError):
            pass
        import psutil

        try:
            return psutil.Process(self.pid).cmdline()
        except psutil.Error:
            return []

    @property
    def is_recorded(self) -> bool:
        """Whether Claude Code keeps a record of it, as it does of what a person or SDK runs."""
        return bool(self._record())

    @property
    def mark(self) -> str:
        """``pid/session``, as a redelivered message's ``written_to`` has it."""
        return f"{self.pid}/{self.id}"

    def transcript_of(self, session_id: str) -> Path | None:
        """Find a session's transcript; :obj:`None` before its first line was written."""
        if not re.fullmatch(_ID, session_id):
            return None
        told, where = self._told
        if told == session_id and where is not None and where.is_file():
            return where
        projects = self.config_dir / "projects"
        name = f"{session_id}.jsonl"
        expected = projects / slug(str(self.project_dir)) / name
        if expected.is_file():
            return expected
        # The session's own cwd may be written differently (a link, a long path, a worktree).
        return next(iter(projects.glob(f"*/{name}")), None)

    def is_this_process(self, written_to: str, created_at: str) -> bool:
        """
        Tell whether a message was handed to this very Claude Code process.

        A pid alone may be another process's by now: ours must be older than the message. After the
        clock was set forward it may not look so; then the message comes again, marked as a repeat.
        """
        pid, _, _ = written_to.partition("/")
        if pid != str(self.pid):
            return False
        import psutil

        try:
            started = psutil.Process(self.pid).create_time()
            return started <= datetime.fromisoformat(created_at).astimezone(UTC).timestamp()
        except (psutil.Error, ValueError):
            return False

    def is_younger(self, than: str) -> bool:
        """Tell whether this server started after a time, or perhaps did."""
        try:
            return datetime.fromisoformat(than).timestamp() <= self._since
        except ValueError:
            return True

    def _record(self) -> dict[str, Any]:
        return self._record_of(self.pid)

    def _record_of(self, pid: int) -> dict[str, Any]:
        try:
            data = (self.config_dir / "sessions" / f"{pid}.json").read_bytes()
            return msgspec.json.decode(data, type=dict[str, Any])
        except (OSError, msgspec.DecodeError, UnicodeError):
            return {}

    def _find(self) -> int:
        named = Path(self._environment.get("CLAUDE_CODE_MESSAGING_SOCKET", "")).stem
        if named == str(self._parent) or self._record_of(self._parent):
            return self._parent
        for ancestor in _ancestors(self._parent):
            if str(ancestor) == named or self._record_of(ancestor):
                return ancestor
        return self._parent


def _ancestors(pid: int) -> Iterator[int]:
    import psutil

    try:
        yield from (process.pid for process in psutil.Process(pid).parents() if process.pid > 1)
    except psutil.Error:
        return


def slug(directory: str) -> str:
    """Return the name of a project's folder of transcripts, as Claude Code 2.1.330 makes it."""
    return re.sub(r"[^a-zA-Z0-9]", "-", directory)


def this_session() -> Session:
    """Return the session of this process's environment."""
    return Session(os.environ, parent=os.getppid(), cwd=Path.cwd())
