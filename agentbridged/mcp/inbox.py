"""
The session's inbox socket: the way to reach a Claude that is idle or in the middle of a turn.

Claude Code names the socket and a token in its MCP servers' environment (2.1.224 and later) and
takes JSON lines, ``auth`` then ``user``. It acknowledges nothing, takes a burst of 30 messages,
then one every 2 s, drops the rest silently, and a line over 1 MiB too; so we stay below both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import msgspec

from agentbridged.wire.claude import INBOX_SINCE

BURST = 25
PER_SECOND = 0.45
GATHER = 0.02
"""Seconds after a write in which what comes is gathered, so that a burst wakes Claude once."""
LINE_LIMIT = 1024 * 1024 - 16 * 1024
"""Bytes of one line, less room for what is around the text."""
WRITE_TIMEOUT = 5.0
FIRST = ".".join(map(str, INBOX_SINCE))
"""Claude Code's first version that has one."""
PROTOCOL = 1
"""The ``peerProtocol`` that this is."""


class Bucket:
    """
    How often may be written: :data:`BURST` quickly, :data:`PER_SECOND` in the long run.

    The first of a burst goes at once; what comes within :data:`GATHER` of a write goes together.
    """

    def __init__(self, *, now: float) -> None:
        self._tokens = float(BURST)
        self._at = now
        self._gathered = now
        """Until when what comes is gathered."""

    def delay(self, *, now: float) -> float:
        """Seconds until a write is allowed; 0 when it is now."""
        self._refill(now)
        if self._tokens >= 1:
            return max(0.0, self._gathered - now)
        return (1 - self._tokens) / PER_SECOND + 0.01

    def take(self, *, now: float) -> None:
        """Count a write."""
        self._refill(now)
        self._tokens = max(0.0, self._tokens - 1)
        self._gathered = now + GATHER

    def _refill(self, now: float) -> None:
        self._tokens = min(float(BURST), self._tokens + (now - self._at) * PER_SECOND)
        self._at = now


def user_line(text: str) -> bytes:
    """Write the line that carries *text*."""
    message = {"role": "user", "content": text}
    return msgspec.json.encode({"type": "user", "message": message, "priority": "next"}) + b"\n"


def is_older(version: str, than: tuple[int, ...]) -> bool:
    """Whether a version of three numbers is below another; one that cannot be read is not."""
    try:
        return tuple(int(part) for part in version.split(".")[:3]) < than
    except ValueError:
        return False


def size(text: str) -> int:
    """Bytes *text* takes in a line."""
    return len(msgspec.json.encode(text))


class Inbox:
    """One session's inbox, if it has one."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._path = environment.get("CLAUDE_CODE_MESSAGING_SOCKET", "")
        self._token = environment.get("CLAUDE_CODE_MESSAGING_TOKEN", "")
        self.problem = self._missing()
        """Why it cannot be used, in words; empty when it can, as far as is known."""

    def _missing(self) -> str:
        if self._path and self._token:
            return ""
        return f"Claude Code named none ({FIRST} or later does, unless it is switched off)"

    def lack(self, version: str, protocol: object) -> str:
        """Say why this Claude Code's inbox cannot be used at all; empty when it may be."""
        if not self.is_offered:
            if is_older(version, INBOX_SINCE):
                return f"Claude Code {version} has none, {FIRST} and later do"
            return self.problem
        if protocol not in (None, PROTOCOL):
            return f"it speaks protocol {protocol}, and this plugin {PROTOCOL}"
        return ""

    @property
    def is_offered(self) -> bool:
        """Whether Claude Code named an inbox at all."""
        return bool(self._path and self._token)

    async def write(self, text: str) -> bool:
        """Put *text* into the inbox, in bounded time; when false, :attr:`problem` says why."""
        if not self.is_offered:
            return False
        auth = msgspec.json.encode({"type": "auth", "token": self._token}) + b"\n"
        try:
            async with asyncio.timeout(WRITE_TIMEOUT):
                await self._send(auth + user_line(text))
        except TimeoutError:
            self.problem = f"it did not take a message within {WRITE_TIMEOUT:.0f} s"
            return False
        except OSError as error:
            self.problem = f"{Path(self._path).name}: {error.strerror or error}"
            return False
        self.problem = ""
        return True

    async def _send(self, data: bytes) -> None:
        _, writer = await asyncio.open_unix_connection(self._path)
        try:
            writer.write(data)
            await writer.drain()
            # Only a closed connection says that everything was handed to the kernel.
            writer.close()
            await writer.wait_closed()
        finally:
            # Closed alone, what was given up on would still be written, and come twice.
            writer.transport.abort()
