"""What the proxy's tests share: the app-server's and the TUI's part, played byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

from agentbridged.proxy.handshake import END, read_request
from agentbridged.wire.websocket import Opcode, unmask

PATIENCE = 30.0
MASK = b"\x11\x22\x33\x44"
REQUEST = (
    b"GET /rpc HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"x-codex-app-server-compression: zstd-stream-v1\r\nAuthorization: Bearer secret\r\n"
    b"Origin: http://localhost\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
)
OWN_HEADER = b"x-codex-app-server-websocket-max-unfragmented-message-bytes: 16777216\r\n"


def frame(
    payload: bytes, opcode: int = Opcode.TEXT, *, fin: bool = True, mask: bytes = b""
) -> bytes:
    """Write a frame; with a *mask*, as a client does."""
    size = len(payload)
    bit = 0x80 if mask else 0
    if size < 126:
        length = bytes((bit | size,))
    elif size < 2**16:
        length = bytes((bit | 126,)) + size.to_bytes(2, "big")
    else:
        length = bytes((bit | 127,)) + size.to_bytes(8, "big")
    body = unmask(payload, mask) if mask else payload
    return bytes(((0x80 if fin else 0) | opcode,)) + length + mask + body


def asks(method: str, id: int | str, **params: Any) -> bytes:
    """Write a TUI's request as a frame."""
    return frame(json.dumps({"method": method, "id": id, "params": params}).encode(), mask=MASK)


def answers(id: int | str, thread: str, **more: Any) -> bytes:
    """Write the app-server's answer that names a thread, as a frame."""
    result = {"thread": {"id": thread, **more}}
    return frame(json.dumps({"id": id, "result": result}).encode())


def fails(id: int | str) -> bytes:
    """Write the app-server's error answer, as a frame."""
    return frame(json.dumps({"error": {"code": -32600, "message": "no"}, "id": id}).encode())


class End:
    """One end of a connection."""

    every: ClassVar[list[End]] = []

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.every.append(self)

    @classmethod
    async def close_all(cls) -> None:
        """Close what a test has left open, also when it failed."""
        while cls.every:
            await cls.every.pop().close()

    @classmethod
    async def connect(cls, path: Path) -> End:
        """Connect to a Unix socket."""
        return cls(*await asyncio.open_unix_connection(path))

    async def send(self, data: bytes) -> None:
        """Send, and wait until the other side has room again."""
        self.writer.write(data)
        async with asyncio.timeout(PATIENCE):
            await self.writer.drain()

    async def read(self, size: int) -> bytes:
        """Read exactly so much."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readexactly(size)

    async def head(self) -> bytes:
        """Read an HTTP head, its empty line included."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readuntil(END)

    async def rest(self) -> bytes:
        """Read up to the end; a reset is an end too."""
        async with asyncio.timeout(PATIENCE):
            data = b""
            with contextlib.suppress(ConnectionError):
                while part := await self.reader.read(65536):
                    data += part
            return data

    def half_close(self) -> None:
        """Say that nothing more comes."""
        self.writer.write_eof()

    async def close(self) -> None:
        """Close at once, as the end of a process does."""
        self.writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


async def tui(path: Path) -> End:
    """Come as a TUI does, and read the answer's head."""
    end = await End.connect(path)
    await end.send(REQUEST)
    head = await end.head()
    assert head.startswith(b"HTTP/1.1 101 "), head
    return end


class AppServer:
    """Listens where the app-server would; a test plays each connection by hand."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._came: asyncio.Queue[End] = asyncio.Queue()
        self.ends: list[End] = []
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen."""
        self._server = await asyncio.start_unix_server(self._keep, self.path)

    async def _keep(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.ends.append(End(reader, writer))
        self._came.put_nowait(self.ends[-1])

    async def came(self) -> End:
        """Return the next connection, as it came."""
        async with asyncio.timeout(PATIENCE):
            return await self._came.get()

    async def accepts(self) -> End:
        """Return the next connection, its handshake answered."""
        end = await self.came()
        accept = read_request(await end.head()).accept()
        await end.send(accept.replace(END, b"\r\n" + OWN_HEADER + b"\r\n"))
        return end

    async def close(self) -> None:
        """Be gone, as after a crash; the socket's file stays behind."""
        if self._server:
            self._server.close()
        for end in self.ends:
            await end.close()
        if self._server:
            await self._server.wait_closed()
            self._server = None


@contextlib.asynccontextmanager
async def app_server(path: Path) -> AsyncIterator[AppServer]:
    """An app-server for the length of a block."""
    server = AppServer(path)
    await server.open()
    try:
        yield server
    finally:
        await server.close()
        await End.close_all()


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Two ends, non-blocking."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


class Heard:
    """A newsdesk that only notes."""

    def __init__(self) -> None:
        self.all: list[tuple[object, ...]] = []
        self._more = asyncio.Event()

    def _note(self, *news: object) -> None:
        self.all.append(news)
        self._more.set()

    def came(self, tui: int, pid: int) -> None:
        """A TUI connected."""
        self._note("came", tui, pid)

    def shows(self, tui: int, thread_id: str) -> None:
        """It shows this thread."""
        self._note("shows", tui, thread_id)

    def left(self, tui: int) -> None:
        """It left."""
        self._note("left", tui)

    async def until(self, *news: object) -> None:
        """Wait until this was noted."""
        async with asyncio.timeout(PATIENCE):
            while news not in self.all:
                self._more.clear()
                await self._more.wait()
