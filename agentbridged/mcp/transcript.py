"""
Proof of consumption: which messages appear in a session's transcript as having reached the model.

A transcript is JSON lines (Claude Code 2.1.330). A message that woke an idle session is a line of
type ``user``, one that joined a turn an ``attachment`` of type ``queued_command``. A
``queue-operation`` only says that it waits, and an ``assistant`` line may quote it: no proof.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from agentbridged.mcp.envelope import openings

_MARK = b"-message id="


class _Line(Struct):
    type: str = ""
    attachment: dict[str, Any] | UnsetType = UNSET
    message: Raw = Raw(b"")


_decoder = msgspec.json.Decoder(_Line)


def proven_by(line: bytes, ids: Collection[str]) -> set[str]:
    """Return which of *ids* this line of a transcript proves to have reached the model."""
    if _MARK not in line:
        return set()
    found = {i for i in ids if any(msgspec.json.encode(o)[1:-1] in line for o in openings(i))}
    if not found:
        return set()
    try:
        entry = _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeError):
        return set()
    if entry.type == "user":
        return found
    if entry.type == "attachment" and isinstance(entry.attachment, dict):
        return found if entry.attachment.get("type") == "queued_command" else set()
    return set()


class Transcript:
    """One file, read on from where the last look ended."""

    def __init__(self, path: Path, *, from_start: bool) -> None:
        self.path = path
        self._offset = 0 if from_start else _size(path)

    def skip(self) -> None:
        """Pass over what is there now: nothing in it is of interest."""
        self._offset = _size(self.path)

    def rewind(self) -> None:
        """Read it all again: a proof may have been passed over while nobody asked for it."""
        self._offset = 0

    def look(self, ids: Collection[str]) -> set[str]:
        """Read what is new; returns those of *ids* that it proves. A half-written line waits."""
        found: set[str] = set()
        try:
            with self.path.open("rb") as file:
                if _size(self.path) < self._offset:
                    self._offset = 0  # Rewritten: what is proven may only be read again.
                file.seek(self._offset)
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    self._offset += len(line)
                    found |= proven_by(line, ids)
        except OSError:
            return found
        return found


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
