"""Both ends of one connection on ``claude.sock``: what is said is in flight until it is read."""

from __future__ import annotations

import asyncio
from collections import deque

from websockets.exceptions import ConnectionClosedError
from websockets.frames import Close
from websockets.protocol import State


class Transport:
    """What is below one end."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def abort(self) -> None:
        """Hang up."""
        self._line.cut()


class End:
    """One end, as far as the daemon and the shim use a connection of :mod:`websockets`."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self.peer: End
        self.frames: deque[str] = deque()
        """Said by the other end, and not read yet."""
        self.changed = asyncio.Event()
        self.heard: Close | None = None
        """How the other end closed."""
        self.said: Close | None = None
        self.is_held = False
        """What the other end said stays in flight."""
        self.transport = Transport(line)

    @property
    def state(self) -> State:
        """Whether it is open."""
        return State.OPEN if self._line.is_open else State.CLOSED

    async def send(self, frame: str) -> None:
        """Say something."""
        if not self._line.is_open:
            raise self._closed()
        self.peer.frames.append(frame)
        self.peer.changed.set()

    async def recv(self) -> str:
        """Return what the other end said; what it said before it hung up is still there."""
        while True:
            if self.frames and not self.is_held:
                return self.frames.popleft()
            if not self._line.is_open:
                raise self._closed()
            self.changed.clear()
            await self.changed.wait()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Hang up, and say why."""
        if self._line.is_open:
            self.said = self.peer.heard = Close(code, reason)
            self._line.end()

    async def wait_closed(self) -> None:
        """Wait until one end has hung up."""
        while self._line.is_open:
            self.changed.clear()
            await self.changed.wait()

    async def ping(self) -> asyncio.Future[float]:
        """Ask for a sign of life; the library of the other end gives it."""
        pong: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        if not (self.is_held or self.peer.is_held):
            pong.set_result(0.0)
        return pong

    def _closed(self) -> ConnectionClosedError:
        both = self.heard is not None and self.said is not None
        return ConnectionClosedError(self.heard, self.said, True if both else None)


class Line:
    """One connection."""

    def __init__(self) -> None:
        self.is_open = True
        self.shim, self.daemon = End(self), End(self)
        self.shim.peer, self.daemon.peer = self.daemon, self.shim

    @property
    def is_held(self) -> bool:
        """Whether something of what is said stays in flight."""
        return self.shim.is_held or self.daemon.is_held

    def flow(self) -> None:
        """What is in flight arrives."""
        for end in (self.shim, self.daemon):
            end.is_held = False
            end.changed.set()

    def cut(self, *, to_daemon: int = 0, to_shim: int = 0) -> None:
        """Break it: of what is in flight only so much still arrives."""
        for end, arrives in ((self.daemon, to_daemon), (self.shim, to_shim)):
            while len(end.frames) > arrives:
                end.frames.pop()
        self.end()

    def end(self) -> None:
        """Nothing more can be said."""
        self.is_open = False
        self.flow()
