"""
When a person last typed something in this session, as its transcript tells.

Claude Code writes down whose a prompt is (``origin.kind``: ``human``, ``peer``,
``task-notification``; measured, 2.1.330). An older one does not; there a plain text that is no
result, no command and nothing injected counts as a person's.
"""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from agentbridged.mcp.session import Session

TAIL = 4 * 1024 * 1024
"""Bytes of an older transcript that are looked at: a resumed session's may be very long."""
EARLIER = 60.0
"""Seconds before our start: a prompt on the command line comes before us."""


class _Origin(Struct):
    kind: str = ""


class _Attachment(Struct):
    type: str = ""
    origin: _Origin | None = None


class _Said(Struct):
    content: Any = None


class _Line(Struct):
    type: str = ""
    timestamp: str = ""
    isMeta: bool = False
    isSidechain: bool = False
    origin: _Origin | None = None
    message: _Said | None = None
    attachment: _Attachment | None = None


_decoder = msgspec.json.Decoder(_Line)


def typed_at(line: bytes) -> float | None:
    """Return the Unix time at which a person typed what this line of a transcript holds."""
    if b'"user"' not in line and b'"queued_command"' not in line:
        return None
    try:
        entry = _decoder.decode(line)
        return datetime.fromisoformat(entry.timestamp).timestamp() if _typed(entry) else None
    except (msgspec.DecodeError, UnicodeError, ValueError):
        return None


def _typed(entry: _Line) -> bool:
    if entry.type == "attachment" and entry.attachment is not None:
        return entry.attachment.type == "queued_command" and _is_human(entry.attachment.origin)
    if entry.type != "user":
        return False
    if entry.origin is not None:
        return _is_human(entry.origin)
    said = entry.message.content if entry.message is not None else None
    injected = entry.isMeta or entry.isSidechain
    plain = isinstance(said, str) and not said.startswith("<") and "<cross-session-" not in said
    return plain and not injected


def _is_human(origin: _Origin | None) -> bool:
    return origin is not None and origin.kind == "human"


class Persons:
    """The persons at one session's keyboard: most often one, sometimes none."""

    def __init__(self, session: Session, *, since: float | None = None) -> None:
        self._session = session
        self._since = time.time() - EARLIER if since is None else since
        self._read: dict[Path, int] = {}
        """Up to where each transcript was read."""
        self._latest: float | None = None

    def latest(self) -> float | None:
        """
        Return the Unix time of the latest word that the transcript tells of.

        Claude Code writes a line some tenths of a second after the prompt (measured, 2.1.330).
        """
        path = self._session.transcript_of(self._session.id)
        if path is not None:
            self._look(path)
        return self._latest

    def _look(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                size = file.seek(0, 2)
                at = self._read.get(path, max(0, size - TAIL))
                at = at if at <= size else 0  # it was written anew
                file.seek(at)
                for line in file:
                    if not line.endswith(b"\n"):
                        break  # half written: it is read when it is whole
                    at += len(line)
                    typed = typed_at(line)
                    if typed is not None and typed >= self._since:
                        self._latest = max(typed, self._latest or typed)
                self._read[path] = at
        except OSError:
            return
