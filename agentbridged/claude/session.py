"""
A Claude session as the bridge holds it, and the way to its shim.

Whatever goes out waits in a bounded queue that a task of its own empties, so that a slow or stuck
shim holds up nobody else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from agentbridged.machines.gate import SessionId
from agentbridged.wire import claude, jsonrpc

log = logging.getLogger(__name__)

QUEUE_FRAMES = 4096
QUEUE_BYTES = 32 * 2**20
STALL_S = 10.0
"""Once the queue overflowed: how long one frame may take before the connection is cut."""
CLOSE_S = 2.0
"""How long a closing handshake may take before the connection is cut."""
TRY_AGAIN_LATER = 1013
"""WebSocket close code of an overflow; the shim attaches again and gets what it missed."""


async def close(ws: ServerConnection, code: int, reason: str) -> None:
    """Close a connection in bounded time, even when its shim reads nothing."""
    try:
        async with asyncio.timeout(CLOSE_S):
            await ws.close(code, reason)
    except TimeoutError:
        ws.transport.abort()


class Outlet:
    """Frames on their way to one shim, in order."""

    def __init__(self, ws: ServerConnection) -> None:
        self._ws = ws
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._overflown = False
        self._writing: asyncio.Timeout | None = None

    def __len__(self) -> int:
        """Count the frames that wait."""
        return len(self._frames)

    def put(self, frame: bytes, *, place: int | None = None) -> bool:
        """
        Queue a frame, at the end or at a *place* among those that wait.

        Return whether it was taken. A full queue takes no more: what is in it is still written,
        then the connection is closed.
        """
        if self._overflown:
            return False
        if len(self._frames) >= QUEUE_FRAMES or self._bytes + len(frame) > QUEUE_BYTES:
            self._overflow()
            return False
        self._frames.insert(len(self._frames) if place is None else place, frame)
        self._bytes += len(frame)
        self._empty.clear()
        self._wake.set()
        return True

    def _overflow(self) -> None:
        log.warning("a session's queue is full (%d frames); closing it", len(self._frames))
        self._overflown = True
        self._wake.set()
        if self._writing is not None:
            self._writing.reschedule(asyncio.get_running_loop().time() + STALL_S)

    async def emptied(self, patience: float) -> None:
        """Wait until what is queued was written, at most *patience* seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._empty.wait()

    async def write(self) -> None:
        """Write what is queued, until the connection ends or the queue overflowed."""
        try:
            while not self._overflown:
                await self._wake.wait()
                self._wake.clear()
                while self._frames:
                    await self._write(self._frames.popleft())
                self._empty.set()
        except ConnectionClosed:
            return
        except TimeoutError:
            self._ws.transport.abort()
            return
        await close(self._ws, TRY_AGAIN_LATER, "too far behind; attach again")

    async def _write(self, frame: bytes) -> None:
        self._bytes -= len(frame)
        # While there is room a shim may stand still for hours (Ctrl-Z): that harms nobody.
        self._writing = asyncio.timeout(STALL_S if self._overflown else None)
        async with self._writing:
            await self._ws.send(frame.decode())
        self._writing = None


class Session:
    """One Claude session that has, waits for, or had the seat; the bridge speaks to it."""

    def __init__(
        self, number: SessionId, attach: claude.Attach, outlet: Outlet, *, since: float
    ) -> None:
        self.number = number
        self.session_id = attach.session_id
        self.claude_pid = attach.claude_pid
        self.since = since
        """Unix time of its arrival."""
        self.seated = False
        self.decided = asyncio.Event()
        """Set once the gate gave it the seat or turned it away."""
        self.verdict: tuple[int, str] | None = None
        """Code and reason of the close that took the seat from it or kept it out."""
        self.attached: claude.Attached | None = None
        """What ``attach`` was answered."""
        self.ways: claude.Ways | None = None
        """Which steps of the ladder it has, once it has told."""
        self.outlet = outlet

    @property
    def key(self) -> str:
        """``pid/session``: which Claude process, and which conversation in it."""
        return f"{self.claude_pid}/{self.session_id}"

    @property
    def name(self) -> str:
        """What people are told of it; short enough for a close reason."""
        shown = "".join(c if c.isprintable() else "?" for c in self.session_id)
        shown = shown if len(shown) <= 40 else f"{shown[:39]}…"
        session = f" session {shown}" if shown else ""
        since = time.strftime("%H:%M", time.localtime(self.since))
        return f"pid {self.claude_pid}{session} since {since}"

    def push(self, message: claude.Message) -> bool:
        """Send what Codex said; :obj:`False` when the session is gone or its queue is full."""
        return self._notify("message", message)

    def notice(self, notice: claude.Notice) -> bool:
        """Send news of the bridge; :obj:`False` when the session is gone or its queue is full."""
        return self._notify("notice", notice)

    def _notify(self, method: str, params: Any) -> bool:
        return self.seated and self.outlet.put(jsonrpc.notification(method, params))
