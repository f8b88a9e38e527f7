"""
Our own connection to a Codex app-server: calls, notifications, requests.

WebSocket over the app-server's Unix socket. It is read eagerly, since the app-server drops a
client that falls 128 messages behind, and at any frame size, since 12 MB frames are normal.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from agentbridged import __version__
from agentbridged.calls import AnswerError, PendingCalls
from agentbridged.errors import CodexError, ConnectionLost, ProtocolError, Unavailable
from agentbridged.wire import codex, jsonrpc

T = TypeVar("T")
log = logging.getLogger(__name__)

CONNECT_TIMEOUT = 5.0
"""Seconds for the handshake and ``initialize``; the app-server answers in milliseconds."""
CALL_TIMEOUT = 30.0
"""Seconds for any other call; a loaded machine resumes a long thread in under ten."""


class AppServerClient:
    """One initialised connection; ends when either side closes it."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._calls = PendingCalls()
        self.version = ""
        self.heard: Callable[[codex.Event], None] = lambda event: None
        """Called for each notification we look into."""
        self.asked: Callable[[codex.ServerRequest], None] = lambda request: None
        """Called for each request of the server; it is never answered here."""

    @classmethod
    async def connect(cls, path: Path) -> AppServerClient:
        """
        Open the WebSocket; follow with :meth:`run` in a task and :meth:`initialize`.

        Raises :exc:`Unavailable` when nobody answers there in time.
        """
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                return cls(
                    await unix_connect(
                        str(path),
                        uri="ws://localhost/rpc",
                        max_size=None,
                        compression=None,
                        ping_interval=30,
                        ping_timeout=30,
                        close_timeout=1,
                    )
                )
        except (OSError, TimeoutError, InvalidHandshake, EOFError, ConnectionClosed) as error:
            raise Unavailable(f"no app-server answers on {path}: {error!r}") from error

    async def initialize(self) -> None:
        """Introduce ourselves; raises :exc:`Unavailable` when no good answer comes in time."""
        try:
            answer = await self.call(
                "initialize",
                codex.initialize(__version__),
                codex.Initialized,
                within=CONNECT_TIMEOUT,
            )
            await self._connection.send(jsonrpc.notification("initialized"), text=True)
        except (CodexError, ProtocolError, ConnectionClosed) as error:
            raise Unavailable(f"the app-server refused us: {error}") from error
        self.version = answer.version

    async def run(self) -> None:
        """Read until the connection ends; every waiting call then fails with ConnectionLost."""
        try:
            async for data in self._connection:
                self._receive(data)
        except ConnectionClosed:
            pass
        finally:
            self._calls.end(ConnectionLost("the app-server's connection ended"))

    def _receive(self, data: str | bytes) -> None:
        try:
            message = jsonrpc.decode(data)
            match message:
                case jsonrpc.Success() | jsonrpc.Failure():
                    self._calls.settle(message)
                case jsonrpc.Request(id, method, params):
                    self.asked(codex.read_request(id, method, params))
                case jsonrpc.Notification(method, params):
                    event = codex.read_event(method, params)
                    if event is not None:
                        self.heard(event)
        except ProtocolError as error:
            log.warning("a message of the app-server was not understood: %s", error)

    async def call(
        self, method: str, params: dict[str, Any], kind: type[T], *, within: float = CALL_TIMEOUT
    ) -> T:
        """
        Call a method and read its result as *kind*; *within* is in seconds.

        Raises :exc:`CodexError` for an error answer, :exc:`ConnectionLost` when it is not known
        whether the call was done (the connection ended, or no answer came in time), and
        :exc:`ProtocolError` for a result of another shape.
        """
        with self._calls.call() as (identity, answer):
            try:
                async with asyncio.timeout(within):
                    await self._connection.send(
                        jsonrpc.request(identity, method, params), text=True
                    )
                    return codex.read(kind, await answer, method)
            except AnswerError as error:
                raise CodexError(error.error.code, error.error.message) from error
            except ConnectionClosed as error:
                raise ConnectionLost("the app-server's connection ended") from error
            except TimeoutError as error:
                raise ConnectionLost(f"the app-server did not answer {method}") from error

    async def answer(self, id: jsonrpc.Id, result: dict[str, Any]) -> None:
        """Answer a request of the server's with a person's word; a lost one is asked again."""
        with suppress(ConnectionClosed):
            await self._connection.send(jsonrpc.success(id, result), text=True)

    async def close(self) -> None:
        """Close the connection, within a second."""
        await self._connection.close()
