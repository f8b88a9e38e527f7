"""
Our own connection to a Codex app-server: calls, notifications, requests.

WebSocket over the app-server's Unix socket. It is read eagerly, since the app-server drops a
client that falls 128 messages behind, and at any frame size, since 12 MB frames are normal.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from agentbridged import __version__
from agentbridged.calls import AnswerError, PendingCalls
from agentbridged.errors import CodexError, CodexLacks, ConnectionLost, ProtocolError, Unavailable
from agentbridged.machines.degradation import Degradations, Lack, mismatch
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
        self.degradations = Degradations()
        """What this app-server does not do as we know it."""
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
        """
        Introduce ourselves; raises :exc:`Unavailable` when no good answer comes in time.

        One that refuses a client of experimental methods is asked again without them.
        """
        try:
            try:
                answer = await self._introduce(experimental=True)
            except CodexError as error:
                if error.code == codex.OVERLOADED:
                    raise
                answer = await self._introduce(experimental=False)
                self._note(self.degradations.missing("initialize", str(error), now=time.time()))
            await self._connection.send(jsonrpc.notification("initialized"), text=True)
        except (CodexError, ProtocolError, ConnectionClosed) as error:
            raise Unavailable(f"the app-server refused us: {error}") from error
        self.version = answer.version

    async def _introduce(self, *, experimental: bool) -> codex.Initialized:
        params = codex.initialize(__version__, experimental=experimental)
        return await self.call("initialize", params, codex.Initialized, within=CONNECT_TIMEOUT)

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
        except ProtocolError as error:
            log.warning("a message of the app-server was not understood: %s", error)
            return
        match message:
            case jsonrpc.Success() | jsonrpc.Failure():
                self._calls.settle(message)
            case jsonrpc.Request(id, method, params):
                self.asked(codex.read_request(id, method, params))
            case jsonrpc.Notification(method, params):
                self._notified(method, params)

    def _notified(self, method: str, params: msgspec.Raw) -> None:
        try:
            event = codex.read_event(method, params)
        except ProtocolError as error:
            self.note_misread(method, str(error))
            return
        if event is not None:
            self.heard(event)

    def note_misread(self, method: str, problem: str) -> None:
        """What a method answers, or a notification tells, is not as we know it, or did not come."""
        self._note(self.degradations.misread(method, problem, now=time.time()))

    @staticmethod
    def _note(lack: Lack | None) -> None:
        """Say once what this app-server lacks."""
        if lack is not None:
            log.warning("Codex: %s: %s; instead: %s", lack.method, lack.problem, lack.instead)

    async def call(
        self, method: str, params: dict[str, Any], kind: type[T], *, within: float = CALL_TIMEOUT
    ) -> T:
        """
        Call a method and read its result as *kind*; *within* is in seconds.

        Raises :exc:`CodexError` for an error answer (:exc:`CodexLacks`, which is noted, where the
        method is not as we know it), :exc:`ConnectionLost` when it is not known
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
                raise self._error(method, error) from error
            except ProtocolError as error:
                self.note_misread(method, str(error))
                raise
            except ConnectionClosed as error:
                raise ConnectionLost("the app-server's connection ended") from error
            except TimeoutError as error:
                raise ConnectionLost(f"the app-server did not answer {method}") from error

    def _error(self, method: str, answer: AnswerError) -> CodexError:
        code, words = answer.error.code, answer.error.message
        if not mismatch(method, code, words):
            return CodexError(code, words)
        short = words.partition(", expected one of")[0]
        self._note(self.degradations.missing(method, short, now=time.time()))
        return CodexLacks(code, short)

    async def answer(self, id: jsonrpc.Id, result: dict[str, Any]) -> None:
        """Answer a request of the server's with a person's word; a lost one is asked again."""
        with suppress(ConnectionClosed):
            await self._connection.send(jsonrpc.success(id, result), text=True)

    async def close(self) -> None:
        """Close the connection, within a second."""
        await self._connection.close()
