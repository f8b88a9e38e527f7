"""
The admin API's client: synchronous, standard library and msgspec only, so that it starts fast.

It tells apart the daemon that is not there (:exc:`DaemonNotRunning`) from the one that does not
answer (:exc:`DaemonSilent`), and refusals (:exc:`Refused`) from calls it got wrong
(:exc:`ProtocolError`).
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from agentbridged.errors import (
    START_DAEMON,
    AgentBridgeError,
    ConnectionLost,
    DaemonNotRunning,
    DaemonSilent,
    ProtocolError,
    Refused,
    Unavailable,
)
from agentbridged.wire import jsonrpc
from agentbridged.wire.jsonrpc import ErrorCode

T = TypeVar("T")

TIMEOUT = 10.0
"""Seconds a call may take before the daemon counts as silent."""

CHUNK = 256 * 1024


class AdminClient:
    """One connection to the daemon; a context manager."""

    def __init__(self, path: Path, timeout: float = TIMEOUT) -> None:
        """Connect; raises :exc:`DaemonNotRunning`, :exc:`DaemonSilent`, :exc:`Unavailable`."""
        self.path = path
        self.timeout = timeout
        self._last_id = 0
        self._kept = bytearray()
        self._early: list[jsonrpc.Notification] = []
        self._socket = _connected(path, timeout)

    def __enter__(self) -> AdminClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def call(self, method: str, params: Any = None) -> Raw:
        """Ask, and return the answer as JSON."""
        self._last_id += 1
        deadline = time.monotonic() + self.timeout
        self._send(jsonrpc.request(self._last_id, method, params) + b"\n", deadline)
        while True:
            message = jsonrpc.decode(self._line(deadline))
            match message:
                case jsonrpc.Success(id, result) if id == self._last_id:
                    return result
                case jsonrpc.Failure(id, error) if id in (self._last_id, None):
                    raise _raised(error)
                case jsonrpc.Notification():
                    self._early.append(message)
                case _:
                    pass  # an answer to an earlier call, which gave up waiting

    def call_as(self, kind: type[T], method: str, params: Any = None) -> T:
        """Ask, and return the answer as *kind*."""
        try:
            return msgspec.json.decode(self.call(method, params), type=kind)
        except msgspec.ValidationError as error:
            raise ProtocolError(
                f"the daemon's answer to {method} is of another version: {error}; "
                "restart it, so that both are the same"
            ) from error

    def news(self) -> Iterator[jsonrpc.Notification]:
        """Wait for notifications, for ever; ends by :exc:`ConnectionLost`."""
        while True:
            while self._early:
                yield self._early.pop(0)
            message = jsonrpc.decode(self._line(None))
            if isinstance(message, jsonrpc.Notification):
                yield message

    def _send(self, line: bytes, deadline: float) -> None:
        try:
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            self._socket.sendall(line)
        except TimeoutError as error:
            raise self._silent() from error
        except OSError as error:
            raise ConnectionLost(
                f"the daemon closed the connection ({self.path}); it may have been stopped"
            ) from error

    def _line(self, deadline: float | None) -> bytes:
        searched = 0
        while (end := self._kept.find(b"\n", searched)) < 0:
            searched = len(self._kept)
            try:
                left = None if deadline is None else max(0.001, deadline - time.monotonic())
                self._socket.settimeout(left)
                chunk = self._socket.recv(CHUNK)
            except TimeoutError as error:
                raise self._silent() from error
            except OSError:
                chunk = b""
            if not chunk:
                raise ConnectionLost(
                    f"the daemon closed the connection ({self.path}) before it answered; "
                    "see `agentbridgectl logs`, and ask again"
                )
            self._kept += chunk
        line = bytes(self._kept[:end])
        del self._kept[: end + 1]
        return line

    def _silent(self) -> DaemonSilent:
        return DaemonSilent(
            f"the daemon does not answer (waited {self.timeout:g} s on {self.path}); "
            "see `agentbridgectl logs`, or restart it"
        )


def _connected(path: Path, timeout: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Unlike Python's own timeout, the kernel's lets connect() wait while the backlog is full.
        span = struct.pack("ll", int(timeout), int(timeout % 1 * 1e6))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, span)
        connection.connect(str(path))
        return connection
    except BaseException as error:
        connection.close()
        if isinstance(error, OSError):
            raise _unconnected(path, error) from error
        raise


def _unconnected(path: Path, error: OSError) -> Unavailable:
    match error:
        case FileNotFoundError() | ConnectionRefusedError():
            return DaemonNotRunning(
                f"the daemon is not running (nothing listens on {path}); "
                f"start it with {START_DAEMON}"
            )
        case BlockingIOError():
            return DaemonSilent(f"the daemon does not answer (nobody accepts on {path})")
        case _:
            return Unavailable(f"cannot connect to {path}: {error.strerror or error}")


def _raised(error: jsonrpc.ErrorObject) -> AgentBridgeError:
    if error.code == ErrorCode.REFUSED:
        kind = error.data.get("kind") if isinstance(error.data, dict) else None
        return Refused(error.message, kind=str(kind or "refused"))
    if error.code == ErrorCode.INTERNAL_ERROR:
        return AgentBridgeError(error.message)
    return ProtocolError(error.message, code=error.code)
