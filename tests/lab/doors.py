"""The daemon's doors, as a stranger may come to them: raw bytes in, what comes back out."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, unix_connect

from tests.lab.scripted import Json
from tests.lab.waiting import PATIENCE


@contextlib.contextmanager
def knock(path: Path) -> Iterator[socket.socket]:
    """Connect to a Unix socket; nothing is sent."""
    with socket.socket(socket.AF_UNIX) as connection:
        # Only then: a connect with a timeout fails at once where the door's backlog is full.
        connection.connect(str(path))
        connection.settimeout(PATIENCE)
        yield connection


def ask(path: Path, method: str, **params: Any) -> Json:
    """Call a verb on ``admin.sock`` and return the whole answer."""
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    answer: Json = json.loads(line_for(path, json.dumps(request).encode() + b"\n"))
    return answer


def line_for(path: Path, data: bytes) -> bytes:
    """Send bytes and return the first line that comes back; empty when it just ends."""
    with knock(path) as connection, connection.makefile("rb") as lines:
        connection.sendall(data)
        return lines.readline()


def reply_to(path: Path, data: bytes) -> bytes:
    """Send bytes and the end, and return everything that comes back until the end."""
    parts = []
    with knock(path) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def upgrade_request(path: str = "/") -> bytes:
    """Return a WebSocket handshake, for raw frames after it (RFC 6455 section 4.1)."""
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


@contextlib.contextmanager
def session(path: Path) -> Iterator[ClientConnection]:
    """Open a WebSocket on ``claude.sock``, as a shim does."""
    with unix_connect(str(path), uri="ws://localhost/", max_size=None) as connection:
        yield connection


def closing_of(connection: ClientConnection) -> tuple[int, str]:
    """Read until the server closes, and return its code and reason."""
    try:
        while True:
            connection.recv(timeout=PATIENCE)
    except ConnectionClosed as closed:
        if closed.rcvd is None:
            raise  # cut, not closed
        return closed.rcvd.code, closed.rcvd.reason
