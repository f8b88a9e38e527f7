"""
JSON-RPC 2.0: the only reader and writer of its envelopes.

Every door speaks it: ``admin.sock`` and MCP one object a line, ``claude.sock`` and the Codex
app-server one object a WebSocket text frame. The app-server leaves out ``"jsonrpc"``, so its
absence is accepted; what we write has it. An id keeps its JSON type: ``6`` and ``"6"`` differ.
"""

from __future__ import annotations

import enum
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from agentbridged.errors import ProtocolError

Id = int | str
T = TypeVar("T")


class ErrorCode(enum.IntEnum):
    """Error codes we answer with (JSON-RPC 2.0 section 5.1, and one of our own)."""

    PARSE_ERROR = -32700
    INVALID_REQUEST = -32600
    METHOD_NOT_FOUND = -32601
    INVALID_PARAMS = -32602
    INTERNAL_ERROR = -32603
    REFUSED = -32000
    """Understood, and not done; ``data.kind`` is a stable word, the message says why."""


class ErrorObject(Struct, omit_defaults=True):
    """The ``error`` member of a failure."""

    code: int
    message: str
    data: Any = None


class Request(Struct, frozen=True):
    """A call that wants an answer."""

    id: Id
    method: str
    params: Raw


class Notification(Struct, frozen=True):
    """A call that wants none."""

    method: str
    params: Raw


class Success(Struct, frozen=True):
    """The answer to a request that was done."""

    id: Id
    result: Raw


class Failure(Struct, frozen=True):
    """The answer to a request that was not; the id is ``None`` when it could not be read."""

    id: Id | None
    error: ErrorObject


Message = Request | Notification | Success | Failure

_NOTHING = Raw(b"null")


class _Envelope(Struct):
    jsonrpc: str | UnsetType = UNSET
    id: int | str | UnsetType | None = UNSET
    method: str | UnsetType = UNSET
    params: Raw = _NOTHING
    result: Raw | UnsetType = UNSET
    error: ErrorObject | UnsetType | None = UNSET


_decoder = msgspec.json.Decoder(_Envelope)
_encoder = msgspec.json.Encoder()


def decode(data: bytes | str) -> Message:
    """
    Read one message.

    Raises :exc:`ProtocolError` (code -32700 for what is no JSON or no UTF-8, -32600 for JSON
    that is no JSON-RPC), whose text names the member at fault.
    """
    try:
        envelope = _decoder.decode(data)
    except msgspec.ValidationError as error:
        raise ProtocolError(f"not a JSON-RPC message: {error}") from error
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ProtocolError(f"not JSON: {error}", code=ErrorCode.PARSE_ERROR) from error
    except RecursionError as error:
        raise ProtocolError("not JSON: nested too deep", code=ErrorCode.PARSE_ERROR) from error
    if envelope.jsonrpc not in (UNSET, "2.0"):
        raise ProtocolError("jsonrpc: expected '2.0'")
    return _classify(envelope)


def _classify(envelope: _Envelope) -> Message:
    given = envelope.id if isinstance(envelope.id, int | str) else None
    if isinstance(envelope.method, str):
        if given is not None:
            return Request(given, envelope.method, envelope.params)
        if envelope.id is UNSET:
            return Notification(envelope.method, envelope.params)
    elif isinstance(envelope.error, ErrorObject):
        return Failure(given, envelope.error)
    elif isinstance(envelope.result, UnsetType):
        raise ProtocolError("method: missing, and no result or error either")
    elif given is not None:
        return Success(given, envelope.result)
    raise ProtocolError("id: expected an integer or a string")


def params_as(kind: type[T], params: Raw) -> T:
    """
    Read params as *kind*; absent params read as an empty object.

    Raises :exc:`ProtocolError` (-32602) whose text names the field.
    """
    raw = b"{}" if params in (_NOTHING, Raw(b"")) else params
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeError) as error:
        raise ProtocolError(f"params: {error}", code=ErrorCode.INVALID_PARAMS) from error


def request(id: Id, method: str, params: Any = None) -> bytes:
    """Write a request; params may be any value msgspec can encode."""
    return _encoder.encode(
        {"jsonrpc": "2.0", "id": id, "method": method, "params": {} if params is None else params}
    )


def notification(method: str, params: Any = None) -> bytes:
    """Write a notification."""
    return _encoder.encode(
        {"jsonrpc": "2.0", "method": method, "params": {} if params is None else params}
    )


def success(id: Id, result: Any) -> bytes:
    """Write the answer to a request that was done."""
    return _encoder.encode({"jsonrpc": "2.0", "id": id, "result": result})


def failure(id: Id | None, code: int, message: str, data: Any = None) -> bytes:
    """Write the answer to a request that was not."""
    return _encoder.encode(
        {"jsonrpc": "2.0", "id": id, "error": ErrorObject(int(code), message, data)}
    )
