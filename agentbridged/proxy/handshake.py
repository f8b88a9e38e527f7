"""
The HTTP head that opens a WebSocket (RFC 6455 section 4): checked, thinned and passed on.

A TUI's request goes to the app-server as it is, but for :data:`DROPPED`; so ``Authorization`` and
``Sec-WebSocket-Key`` reach it, and its answer, which proves that key, can go back verbatim.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

HEAD_LIMIT = 16 * 1024
"""Bytes a head may have: many times what Codex sends, even with a long token."""

DROPPED = frozenset({b"origin", b"sec-websocket-extensions", b"x-codex-app-server-compression"})
"""
Headers that must not reach the app-server.

It answers 403 to any ``Origin``; extensions and its own compression would change the frames, which
then nobody between could read (measured, Codex 0.169.0).
"""

END = b"\r\n\r\n"
_PROOF = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3


class BadHandshake(Exception):
    """What came is no WebSocket handshake; *status* is the HTTP status line it is answered with."""

    def __init__(self, status: str, problem: str) -> None:
        super().__init__(problem)
        self.status = status

    def answer(self) -> bytes:
        """Write the HTTP answer, with the problem in words as its body."""
        body = f"{self}\n".encode()
        return (
            f"HTTP/1.1 {self.status}\r\nConnection: close\r\nContent-Type: text/plain; "
            f"charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body


@dataclass(frozen=True)
class Request:
    """A TUI's handshake: the head to pass on, and the key that an answer must prove."""

    head: bytes
    key: bytes

    def accept(self) -> bytes:
        """Write the answer by which we accept it ourselves, where no app-server can."""
        proof = base64.b64encode(hashlib.sha1(self.key + _PROOF).digest())
        return (
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Accept: " + proof + END
        )


def looks_like_http(start: bytes) -> bool:
    """Whether these first bytes can still become a request we take."""
    return start[:4] == b"GET "[: len(start)]


def read_request(head: bytes) -> Request:
    """Read a request head, its empty line included; raises :exc:`BadHandshake`."""
    first, *lines = head.removesuffix(END).split(b"\r\n")
    if not first.startswith(b"GET ") or not first.endswith(b" HTTP/1.1"):
        raise BadHandshake("400 Bad Request", "this socket speaks WebSocket to a Codex TUI")
    kept = [first]
    found: dict[bytes, bytes] = {}
    for line, name, value in _headers(lines):
        found.setdefault(name, value)
        if name not in DROPPED:
            kept.append(line)
    if found.get(b"upgrade", b"").lower() != b"websocket":
        raise BadHandshake(
            "426 Upgrade Required", "this socket speaks WebSocket; use `agentbridgectl codex`"
        )
    key = found.get(b"sec-websocket-key", b"")
    if not key:
        raise BadHandshake("400 Bad Request", "Sec-WebSocket-Key: missing")
    return Request(b"\r\n".join(kept) + END, key)


def _headers(lines: list[bytes]) -> list[tuple[bytes, bytes, bytes]]:
    """Return (line, lower-case name, value) of each header; raises :exc:`BadHandshake`."""
    result = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not name or name != name.strip():
            raise BadHandshake("400 Bad Request", "a header line is malformed")
        result.append((line, name.lower(), value.strip()))
    return result


def is_accepted(head: bytes) -> bool:
    """Whether an answer's head accepts the WebSocket."""
    return head.split(b"\r\n", 1)[0].split(b" ", 2)[1:2] == [b"101"]
