"""
Proof of consumption: which messages appear in a session's transcript as having reached the model.

A transcript is JSON lines (Claude Code 2.1.330). A message that woke an idle session is a line of
type ``user``, one that joined a turn an ``attachment`` of type ``queued_command``, one that a hook
handed over an ``attachment`` of type ``hook_additional_context``. An ``api-request-blob`` is part
of a request to the model; of a session whose terminal was closed, it may be the only trace. A
``queue-operation`` only says that it waits, a ``system`` line that the person has to let it in, and
what the assistant said may quote it: no proof. A tag that says which characters it holds proves
these alone.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from agentbridged.mcp.envelope import openings, preview

_MARK = b"-message id="
_SHOWN = ("queued_command", "hook_additional_context")
_TOLD = ("user", "system")
"""Roles in which a request tells the model something."""
_HELD = "Held peer message"
_PART = re.compile(rb'(?: re=\\"[^>]*?\\")? characters=\\"(\d+)-(\d+) of')
"""What follows the id in the tag of a part."""
_SNIFFED = 256
"""Lines in which the format of a transcript is looked for."""


class _Line(Struct):
    type: str = ""
    operation: str = ""
    content: Any = None
    attachment: dict[str, Any] | UnsetType = UNSET
    message: Raw = Raw(b"")


class _Message(Struct):
    role: str = ""


_decoder = msgspec.json.Decoder(_Line)


@dataclass
class Seen:
    """What a transcript shows of the messages that were asked for."""

    proven: set[str] = field(default_factory=set)
    """They were shown whole."""
    heads: dict[str, int] = field(default_factory=dict)
    """Of these so many characters were shown, from the first on."""
    queued: set[str] = field(default_factory=set)
    """They wait for the session to have time."""
    held: set[str] = field(default_factory=set)
    """They wait for the person to let them in."""

    def add(self, other: Seen) -> None:
        """Take in what was seen elsewhere."""
        self.proven |= other.proven
        self.heads |= other.heads
        self.queued |= other.queued
        self.held |= other.held


def _role(message: Raw) -> str:
    try:
        return msgspec.json.decode(message, type=_Message).role
    except (msgspec.DecodeError, UnicodeError):
        return ""


def seen_in(line: bytes, ids: Collection[str]) -> Seen:
    """Return what this line of a transcript shows of the messages with these ids."""
    if _MARK not in line:
        return Seen()
    found = {i for i in ids if any(_encoded(o) in line for o in (*openings(i), *preview(i)))}
    entry = _read(line) if found else None
    match entry:
        case _Line(type="user"):
            return _shown_in(line, found)
        case _Line(type="attachment", attachment={"type": kind}) if kind in _SHOWN:
            return _shown_in(line, found)
        case _Line(type="api-request-blob") if _role(entry.message) in _TOLD:
            return _shown_in(line, found)
        case _Line(type="queue-operation", operation="enqueue"):
            return Seen(queued=found)
        case _Line(type="system", content=str(words)) if words.startswith(_HELD):
            return Seen(held=found)
    return Seen()


def _shown_in(line: bytes, ids: Collection[str]) -> Seen:
    seen = Seen()
    for id in ids:
        for opening in openings(id):
            _, tag, rest = line.partition(_encoded(opening))
            part = _PART.match(rest)
            if tag and part is None:
                seen.proven.add(id)
            elif part is not None and part[1] == b"0":
                seen.heads[id] = int(part[2])
    return seen


def _encoded(text: str) -> bytes:
    return msgspec.json.encode(text)[1:-1]


def _read(line: bytes) -> _Line | None:
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeError):
        return None


class Transcript:
    """One file, read on from where the last look ended."""

    def __init__(self, path: Path, *, from_start: bool) -> None:
        self.path = path
        self._offset = 0 if from_start else _size(path)
        self._known = False

    @property
    def is_known(self) -> bool:
        """Whether its lines are of the kind that is understood here."""
        self._known = self._known or self._sniff()
        return self._known

    def _sniff(self) -> bool:
        try:
            with self.path.open("rb") as file:
                for _, line in zip(range(_SNIFFED), file, strict=False):
                    entry = _read(line)
                    if entry and entry.type in ("user", "assistant") and bytes(entry.message):
                        return True
        except OSError:
            return False
        return False

    def skip(self) -> None:
        """Pass over what is there now: nothing in it is of interest."""
        self._offset = _size(self.path)

    def rewind(self) -> None:
        """Read it all again: a proof may have been passed over while nobody asked for it."""
        self._offset = 0

    def look(self, ids: Collection[str]) -> Seen:
        """Read what is new; returns what it shows of *ids*. A half-written line waits."""
        seen = Seen()
        try:
            with self.path.open("rb") as file:
                if _size(self.path) < self._offset:
                    self._offset = 0  # Rewritten: what is proven may only be read again.
                file.seek(self._offset)
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    self._offset += len(line)
                    seen.add(seen_in(line, ids))
        except OSError:
            return seen
        return seen


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
