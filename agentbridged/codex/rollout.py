"""
What a thread's own file holds that the app-server does not list.

Codex writes a user message down twice: for the model's history, and milliseconds later, with the
sender's id, for all who read the thread. Killed in between, it has the message before its model
for good, and no turn shows it (measured, 0.169.0: about 2 of 100 kills amid a busy queue). To send
it again then would double it.
"""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec
from msgspec import Struct, field

from agentbridged.wire import codex

log = logging.getLogger(__name__)


class _Content(Struct, frozen=True):
    text: str = ""


class _Origin(Struct, frozen=True):
    turn_id: str = ""


class _Payload(Struct, frozen=True):
    role: str = ""
    content: list[_Content] = []
    origin: _Origin = field(name="internal_chat_message_metadata_passthrough", default=_Origin())


class _Line(Struct, frozen=True):
    type: str
    payload: _Payload


def turn_with(path: Path, message_id: str) -> str | None:
    """
    Return the id of the turn in whose history a message of ours is, or ``None``.

    Reads the whole file, JSON lines as Codex 0.169.0 writes them; one that cannot be read, or is
    written otherwise, tells nothing.
    """
    head = codex.headline(message_id)
    try:
        with path.open("rb") as lines:
            for line in lines:
                if head.encode() in line and (turn_id := _turn_of(line, head)):
                    return turn_id
    except OSError as error:
        log.info("the file of a thread cannot be read: %s", error)
    return None


def _turn_of(line: bytes, head: str) -> str:
    try:
        told = msgspec.json.decode(line, type=_Line)
    except msgspec.MsgspecError:
        return ""  # not the history, or cut off by a kill
    payload = told.payload
    ours = any(part.text.startswith(head) for part in payload.content)
    is_said = told.type == "response_item" and payload.role == "user"
    return payload.origin.turn_id if is_said and ours else ""
