"""
The admin door: ``admin.sock``, JSON-RPC 2.0, one object a line.

Every line gets one answer, in order; a bad line gets an error that names what is wrong, and the
connection is served on. Only this user's processes are answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pwd
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agentbridged.admin.verbs import Caller, Desk, call
from agentbridged.errors import AgentBridgeError, ConfigError, ProtocolError, Refused
from agentbridged.peercred import Peer, listen_private, peer_of, remove_socket
from agentbridged.wire import jsonrpc
from agentbridged.wire.admin import LINE_LIMIT
from agentbridged.wire.jsonrpc import ErrorCode

logger = logging.getLogger(__name__)

CHUNK = 64 * 1024
BACKLOG_LIMIT = 1024 * 1024
"""Bytes of unread news after which a listener that does not read is cut off."""


class AdminServer:
    """Serves the verbs on a Unix socket, *given* already open or else its own, until closed."""

    def __init__(self, path: Path, desk: Desk, given: socket.socket | None = None) -> None:
        self.path = path
        self._given = given
        self._desk = desk
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        """Open the door; raises :exc:`Refused` when another process serves this path."""
        listener = self._given or listen_private(self.path)
        # One that was given stays open at whom it came from, and so does its name.
        keep: dict[str, Any] = {}
        if self._given is not None and sys.version_info >= (3, 13):
            keep["cleanup_socket"] = False
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, **keep)

    async def close(self) -> None:
        """Close the door and every connection; the file of a socket of ours is gone after that."""
        if self._server is None:
            return
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self._server = None
        if self._given is None:
            remove_socket(self.path)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        connection = _Connection(self._desk, writer)
        try:
            if connection.admit():
                await connection.serve(reader)
        except (ConnectionError, asyncio.CancelledError):
            pass  # the client went away, or the door is closing: nobody is left to tell
        finally:
            self._connections.discard(task)
            connection.end()


class _Connection:
    """One client: its lines in, its answers and news out."""

    def __init__(self, desk: Desk, writer: asyncio.StreamWriter) -> None:
        self._desk = desk
        self._writer = writer
        self._unsubscribe: Callable[[], None] | None = None
        self._owed = 0
        """Bytes of the answer that is being sent: a long one is no backlog of news."""
        self._caller = Caller("somebody", None, self._subscribe)

    def admit(self) -> bool:
        """Check who is there; a process of another user is told so and not served."""
        try:
            peer = peer_of(self._writer.get_extra_info("socket"))
        except OSError:
            return False
        if not peer.is_us:
            self._fail(None, ProtocolError(f"uid {peer.uid} may not use this daemon"))
            return False
        self._caller = Caller(_words_for(peer), peer.pid, self._subscribe)
        return True

    async def serve(self, reader: asyncio.StreamReader) -> None:
        """Answer line after line, until the client ends or the door closes."""
        kept = bytearray()
        skipping = False
        while chunk := await reader.read(CHUNK):
            *lines, rest = chunk.split(b"\n")
            for line in lines:
                kept += line
                if not skipping:
                    await self._answer(bytes(kept))
                kept.clear()
                skipping = False
            kept += rest
            if len(kept) > LINE_LIMIT:
                if not skipping:
                    self._fail(None, ProtocolError(f"line: longer than {LINE_LIMIT} bytes"))
                    await self._writer.drain()
                skipping = True
                kept.clear()
        if kept and not skipping:
            await self._answer(bytes(kept))

    def end(self) -> None:
        """Forget the client."""
        if self._unsubscribe is not None:
            self._unsubscribe()
        self._writer.close()

    async def _answer(self, line: bytes) -> None:
        if not line.strip():
            return
        if len(line) > LINE_LIMIT:
            self._fail(None, ProtocolError(f"line: longer than {LINE_LIMIT} bytes"))
        else:
            await self._dispatch(line)
        self._owed = self._writer.transport.get_write_buffer_size()
        await self._writer.drain()
        self._owed = 0

    async def _dispatch(self, line: bytes) -> None:
        try:
            message = jsonrpc.decode(line)
        except ProtocolError as error:
            self._fail(None, error)
            return
        match message:
            case jsonrpc.Request(id, method, params):
                try:
                    result = await call(self._desk, self._caller, method, params)
                    self._write(jsonrpc.success(id, result))
                except AgentBridgeError as error:
                    self._fail(id, error)
                except Exception:
                    logger.exception("the verb %s failed", method[:80])
                    text = "the daemon failed at this; `agentbridgectl logs` tells more"
                    self._write(jsonrpc.failure(id, ErrorCode.INTERNAL_ERROR, text))
            case jsonrpc.Notification():
                self._fail(None, ProtocolError("id: missing; every call here gets an answer"))
            case jsonrpc.Success() | jsonrpc.Failure():
                self._fail(None, ProtocolError("method: missing; this door only answers"))

    def _fail(self, id: jsonrpc.Id | None, error: AgentBridgeError) -> None:
        code: int = ErrorCode.REFUSED
        data: dict[str, str] | None = {"kind": "failed"}
        match error:
            case ProtocolError():
                code, data = error.code, None
            case Refused():
                data = {"kind": error.kind}
            case ConfigError():
                data = {"kind": "config", "field": error.field}
            case _:
                pass
        self._write(jsonrpc.failure(id, code, str(error), data))

    def _write(self, answer: bytes) -> None:
        self._writer.write(answer + b"\n")

    def _subscribe(self, wanted: Callable[[str, dict[str, Any]], bool]) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()

        def tell(kind: str, facts: dict[str, Any]) -> None:
            if not wanted(kind, facts):
                return
            transport = self._writer.transport
            if transport.get_write_buffer_size() > BACKLOG_LIMIT + self._owed:
                transport.abort()  # it does not read; its memory is ours
            elif not transport.is_closing():
                self._write(jsonrpc.notification(kind, facts))

        self._unsubscribe = self._desk.subscribe(tell)


def _words_for(peer: Peer) -> str:
    # The pid is left out: it is that of a command which is gone when anybody reads this.
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(peer.uid).pw_name
    return f"uid {peer.uid}"
