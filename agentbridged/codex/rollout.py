"""
What a thread's own file holds that the app-server does not list.

Codex writes a user message down twice: for the model's history, and milliseconds later, with the
sender's id, for all who read the thread. Killed in between, it has the message before its model
for good, and no turn shows it (measured, 0.169.0: about 2 of 100 kills amid a busy queue). To send
it again then would double it.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

import msgspec
from msgspec import Struct, field

from agentbridged.codex import thread as threads

TAIL = 64 * 1024 * 1024
"""Bytes of a file that are read, its last: far more than is written from an attempt to its look."""


class _Content(Struct, frozen=True):
    text: str = ""


class _Origin(Struct, frozen=True):
    turn_id: str = ""


class _Payload(Struct, frozen=True):
    role: str = ""
    content: list[_Content] = []
    origin: _Origin | None = field(name="internal_chat_message_metadata_passthrough", default=None)


class _Line(Struct, frozen=True):
    type: str
    payload: _Payload


def turns_with(path: Path, message_ids: Collection[str]) -> dict[str, str]:
    """
    Return which of our messages are in a thread's history: id → its turn, "" if that is not told.

    The file is JSON lines, as Codex 0.169.0 writes them; a line that is cut off or written
    otherwise tells nothing. Raises :exc:`OSError`.
    """
    heads = {threads.headline(id): id for id in message_ids}
    found: dict[str, str] = {}
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL))
        for line in file:
            if threads.MARK.encode() in line and (said := _said(line)) is not None:
                texts = [part.text for part in said.content]
                turn_id = said.origin.turn_id if said.origin else ""
                for head, id in heads.items():
                    if any(text.startswith(head) for text in texts):
                        found[id] = turn_id
    return found


def _said(line: bytes) -> _Payload | None:
    """Return a user message in the history; ``None``: the line is something else."""
    try:
        told = msgspec.json.decode(line, type=_Line)
    except (msgspec.MsgspecError, UnicodeError):
        return None
    is_said = told.type == "response_item" and told.payload.role == "user"
    return told.payload if is_said else None
