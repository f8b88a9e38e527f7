"""
One TUI's connection, from its first byte to its last.

It is read up to the end of its handshake, waits (bounded) for an app-server that is away, gets an
upstream connection of its own, and is relayed. The app-server's answer to the handshake goes back
verbatim. Whatever goes wrong ends this connection only, in a way upon which a TUI reconnects.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from typing import Final, Protocol

from agentbridged.proxy.handshake import (
    END,
    HEAD_LIMIT,
    BadHandshake,
    Request,
    is_accepted,
    looks_like_http,
    read_request,
)
from agentbridged.proxy.relay import GOING_AWAY, GRACE, Relay
from agentbridged.proxy.tap import Tap
from agentbridged.proxy.upstreams import Upstreams
from agentbridged.wire.websocket import close_frame

HANDSHAKE_PATIENCE: Final = 10.0
"""Seconds a client has to say what it wants."""

UPSTREAM_PATIENCE: Final = 8.0
"""Seconds a TUI waits for an app-server: it gives up for good at 10 (measured, Codex 0.169.0)."""

EARLY_LIMIT: Final = 1024 * 1024
"""Bytes kept of a client that talks on while it waits."""

log = logging.getLogger(__name__)


class News(Protocol):
    """Who is told about TUIs."""

    def came(self, tui: int, pid: int) -> None:
        """A TUI connected."""

    def shows(self, tui: int, thread_id: str) -> None:
        """It shows this thread now."""

    def left(self, tui: int) -> None:
        """Its connection ended."""


class _ClientGone(Exception):
    pass


class _GivenUp(Exception):
    """No app-server for this TUI; the message is the reason it is told."""


class Connection:
    """One TUI's connection; *client* is non-blocking and belongs to it."""

    def __init__(
        self, number: int, client: socket.socket, pid: int, *, upstreams: Upstreams, news: News
    ) -> None:
        self._number, self._client, self._pid = number, client, pid
        self._upstreams, self._news = upstreams, news
        self._upstream: socket.socket | None = None
        self._relay: Relay | None = None
        self._request: Request | None = None
        self._early = bytearray()
        self._present = False
        self._leaving: str | None = None
        self._wait: asyncio.Timeout | None = None  # what ends early when the client leaves
        self._why: Exception | None = None

    async def run(self) -> None:
        """Serve the connection to its end; never raises but for cancellation."""
        try:
            await self._serve()
        except (_ClientGone, OSError):
            log.debug("connection %d: the client is gone", self._number)
        except BadHandshake as bad:
            log.info("connection %d: %s", self._number, bad)
            await self._last_words(bad.answer())
        except _GivenUp as reason:
            log.warning("connection %d: %s", self._number, reason)
            accept = self._request.accept() if self._request else b""
            await self._last_words(accept + close_frame(GOING_AWAY, str(reason)))
        except Exception:  # A fault of ours; it must not end the other TUIs' connections.
            log.exception("connection %d: given up", self._number)
        finally:
            self._left()
            self._client.close()
            if self._upstream:
                self._upstream.close()

    def go_away(self, reason: str) -> None:
        """Close the connection with 1001 and end it soon."""
        self._leaving = reason
        if self._relay:
            self._relay.go_away(reason)
        else:
            self._stop_waiting(_GivenUp(reason))

    async def _serve(self) -> None:
        self._request = await self._read_request()
        self._present = True
        self._news.came(self._number, self._pid)
        head, rest = await self._open(self._request)
        assert self._upstream is not None
        tap = Tap(self._shows, self._unfollowed) if is_accepted(head) else None
        self._relay = Relay(self._client, self._upstream, tap=tap, client_left=self._left)
        sent = self._client.send(head)  # A fresh socket has room for a head.
        if sent < len(head):
            raise _ClientGone
        if self._leaving:
            self._relay.go_away(self._leaving)
        await self._relay.run(bytes(self._early), rest)

    async def _read_request(self) -> Request:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(HANDSHAKE_PATIENCE) as self._wait:
                while END not in self._early:
                    _check_start(self._early)
                    data = await loop.sock_recv(self._client, HEAD_LIMIT)
                    if not data:
                        raise _ClientGone
                    self._early += data
        except TimeoutError:
            late = BadHandshake("408 Request Timeout", "the handshake did not come in time")
            raise self._why or late from None
        head, end, rest = bytes(self._early).partition(END)
        self._early = bytearray(rest)
        return read_request(head + end)

    async def _open(self, request: Request) -> tuple[bytes, bytes]:
        """Get an upstream and its answer to the handshake, while watching the client."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._client, self._client_speaks)
        try:
            async with asyncio.timeout(UPSTREAM_PATIENCE) as self._wait:
                return await self._hand_on(request.head)
        except TimeoutError:
            away = _GivenUp("the Codex app-server is away; try again")
            raise self._why or away from None
        finally:
            loop.remove_reader(self._client)

    def _client_speaks(self) -> None:
        try:
            data = self._client.recv(EARLY_LIMIT)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        self._early += data
        if not data:
            self._stop_waiting(_ClientGone())
        elif len(self._early) > EARLY_LIMIT:
            self._stop_waiting(_GivenUp("too much was sent before the app-server answered"))

    def _stop_waiting(self, why: Exception) -> None:
        """End what is awaited now; *why* is raised in its place."""
        if self._why is None and self._wait is not None:
            self._why = why
            with contextlib.suppress(RuntimeError):  # It has ended in this very moment.
                self._wait.reschedule(asyncio.get_running_loop().time())

    async def _hand_on(self, request: bytes) -> tuple[bytes, bytes]:
        """Open an upstream with this request; one that closes without an answer is replaced."""
        while True:
            self._upstream = await self._upstreams.connect()
            with contextlib.suppress(OSError):
                if answer := await _ask(self._upstream, request):
                    return answer
            self._upstream.close()
            await self._upstreams.moved_or_waited()

    async def _last_words(self, data: bytes) -> None:
        """Say something, and give the client a moment to hear it and close."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError, TimeoutError):
            self._client.send(data)
            self._client.shutdown(socket.SHUT_WR)
            async with asyncio.timeout(GRACE):
                while await loop.sock_recv(self._client, HEAD_LIMIT):
                    pass

    def _shows(self, thread_id: str) -> None:
        self._news.shows(self._number, thread_id)

    def _unfollowed(self, fault: str) -> None:
        log.warning("connection %d is no longer followed: %s", self._number, fault)

    def _left(self) -> None:
        if self._present:
            self._present = False
            self._news.left(self._number)


def _check_start(start: bytes | bytearray) -> None:
    if len(start) > HEAD_LIMIT:
        raise BadHandshake("431 Request Header Fields Too Large", "the handshake is too long")
    if not looks_like_http(bytes(start[:4])):
        raise BadHandshake("400 Bad Request", "this socket speaks WebSocket to a Codex TUI")


async def _ask(upstream: socket.socket, request: bytes) -> tuple[bytes, bytes] | None:
    """Return the answer's head and what came after it; ``None`` if it closed or made no sense."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(upstream, request)
    answer = b""
    while END not in answer:
        data = await loop.sock_recv(upstream, HEAD_LIMIT)
        if not data or len(answer) > HEAD_LIMIT:
            return None
        answer += data
    head, end, rest = answer.partition(END)
    return head + end, rest
