"""
What Claude Code and the shim say to each other: MCP 2025-11-25 over stdio, one object a line.

Only what our server needs (modelcontextprotocol.io, specification 2025-11-25: lifecycle, tools,
ping, cancellation). The newer era (``server/discover``) is declined on purpose: Claude Code then
negotiates this one, in which channels exist.
"""

from __future__ import annotations

from typing import Annotated, Any, get_args

import msgspec
from msgspec import Meta, Raw, Struct

from agentbridged.errors import ProtocolError
from agentbridged.wire.claude import Key, Text, WhenBusy

VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
"""Protocol versions we speak, newest first; another is answered with the newest."""

LONGEST_WAIT = 110.0
"""Seconds ``wait_for_message`` waits at most: Claude Code moves a call that runs over 120 s to
the background (read in 2.1.330)."""

DEFAULT_LIMIT = 20


class ClientInfo(Struct, frozen=True):
    """Who the client is."""

    name: str = ""
    version: str = ""


class Initialize(Struct, rename="camel"):
    """Params of ``initialize``, as far as they matter here."""

    protocol_version: str
    client_info: ClientInfo = ClientInfo()


class CallTool(Struct):
    """Params of ``tools/call``."""

    name: str
    arguments: Raw = Raw(b"{}")


class Cancelled(Struct, rename="camel"):
    """Params of ``notifications/cancelled``."""

    request_id: int | str


class SendToCodex(Struct, forbid_unknown_fields=True, kw_only=True):
    """Arguments of ``send_to_codex``."""

    text: Text
    when_busy: WhenBusy = "queue"
    idempotency_key: Key | None = None
    start_thread: bool = False

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise ValueError("Expected more than white space - at `$.text`")


class ReadMessages(Struct, forbid_unknown_fields=True, kw_only=True):
    """Arguments of ``read_messages``."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = DEFAULT_LIMIT


class WaitForMessage(Struct, forbid_unknown_fields=True, kw_only=True):
    """Arguments of ``wait_for_message``; the time is in seconds."""

    timeout_s: Annotated[float, Meta(ge=0)]


class BridgeStatus(Struct, forbid_unknown_fields=True, kw_only=True):
    """Arguments of ``bridge_status``: none."""


class InterruptCodex(Struct, forbid_unknown_fields=True, kw_only=True):
    """Arguments of ``interrupt_codex``: none."""


class AttachSeat(Struct, forbid_unknown_fields=True, kw_only=True):
    """Arguments of ``attach``."""

    take_over: bool = False


class TurnEnded(Struct, kw_only=True):
    """
    What the plugin's ``Stop`` hook passes on; no tool that Claude is told of.

    Claude Code fills in the members of the hook's input, each as text (measured, 2.1.330).
    """

    session_id: str = ""
    transcript_path: str = ""
    stop_hook_active: str = ""

    @property
    def again(self) -> bool:
        """Whether the turn goes on only since a hook had something to say at its end."""
        return self.stop_hook_active == "true"


Arguments = (
    SendToCodex
    | ReadMessages
    | WaitForMessage
    | BridgeStatus
    | InterruptCodex
    | AttachSeat
    | TurnEnded
)

TOOLS: dict[str, type[Arguments]] = {
    "send_to_codex": SendToCodex,
    "read_messages": ReadMessages,
    "wait_for_message": WaitForMessage,
    "bridge_status": BridgeStatus,
    "interrupt_codex": InterruptCodex,
    "attach": AttachSeat,
}

TURN_ENDED = "turn_ended"
HOOKS: dict[str, type[Arguments]] = {TURN_ENDED: TurnEnded}
"""Called by the plugin's hooks alone."""


def negotiate(wanted: str) -> str:
    """Choose the protocol version: the client's own where we speak it."""
    return wanted if wanted in VERSIONS else VERSIONS[0]


def arguments_of(call: CallTool) -> Arguments:
    """
    Read a tool call's arguments.

    Raises :exc:`ProtocolError` whose text names the field at fault, or the tool if unknown.
    """
    kind = TOOLS.get(call.name) or HOOKS.get(call.name)
    if kind is None:
        raise ProtocolError(f"no tool {call.name!r}", code=-32602)
    raw = Raw(b"{}") if bytes(call.arguments) in (b"", b"null") else call.arguments
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ProtocolError(f"{call.name}: {_named(str(error))}") from error


def _named(problem: str) -> str:
    """Put the field first: ``timeout_s: expected ...``."""
    what, found, where = problem.partition(" - at `$")
    if not found:
        return what.replace("Object contains unknown field", "unknown argument").replace(
            "Object missing required field", "missing argument"
        )
    field = where.removesuffix("`").lstrip(".")
    if what.startswith("Invalid enum value"):
        what = f"expected one of {', '.join(get_args(WhenBusy))}, got {what.rpartition(' ')[2]}"
    return f"{field}: {what[:1].lower()}{what[1:]}" if field else what


def result(text: str, *, is_error: bool = False) -> dict[str, Any]:
    """Write a tool's result."""
    return {"content": [{"type": "text", "text": text}], "isError": is_error}
