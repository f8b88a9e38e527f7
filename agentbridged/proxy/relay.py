"""
Bytes both ways between two sockets: verbatim, at the slower side's pace, in constant memory.

Each direction reads into one buffer that all share, sends at once, and keeps only what the other
side did not take; until that is gone, it reads no more. So a connection holds at most
:data:`BUFFER` bytes each way, whatever the size of a frame. The sockets must be non-blocking; this
module does not close them.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Final

from agentbridged.proxy.tap import Tap
from agentbridged.wire.websocket import close_frame

BUFFER: Final = 256 * 1024
"""Bytes: a little more than a Unix socket holds by default on Linux (208 KiB)."""

TURNS: Final = 4
"""How often a direction reads on while its source has a full buffer ready; then others' turn."""

GRACE: Final = 2.0
"""Seconds a side has to close after the other has; measured, a TUI takes a few milliseconds."""

FLUSH_PATIENCE: Final = 30.0
"""Seconds a slow reader has to take the last bytes of a side that has closed."""

GOING_AWAY: Final = 1001
"""The close code upon which a TUI reconnects by itself (measured, Codex 0.169.0)."""

_buffer = memoryview(bytearray(BUFFER))  # Used only within a callback, never across.


class Pump:
    """One direction. *ended* is called once, when its source has closed or broken."""

    def __init__(
        self,
        source: socket.socket,
        sink: socket.socket,
        *,
        heard: Callable[[memoryview | bytes], None],
        ended: Callable[[], None],
        broke: Callable[[], None],
    ) -> None:
        self.rest: memoryview | bytes = b""
        """What the sink has not taken yet."""
        self.at_end = False
        self._source, self._sink = source, sink
        self._heard, self._ended, self._broke = heard, ended, broke
        self._deaf = False
        self._flushed: Callable[[], None] | None = None
        self._loop = asyncio.get_running_loop()

    def start(self, early: bytes = b"") -> None:
        """Begin to pass on: first *early*, which was read from the source before."""
        self._loop.add_reader(self._source, self._readable)
        if early:
            self._pass(early)

    def stop(self) -> None:
        """Touch the sockets no more."""
        if not self.at_end:
            self._loop.remove_reader(self._source)
        if self.rest:
            self._loop.remove_writer(self._sink)
        self.at_end, self.rest = True, b""

    def when_flushed(self, then: Callable[[], None]) -> None:
        """Call *then* as soon as the sink has taken all that was read."""
        if self.rest:
            self._flushed = then
        else:
            then()

    def _readable(self) -> None:
        for _ in range(TURNS):
            try:
                count = self._source.recv_into(_buffer)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                count = 0
            if count == 0:
                self._loop.remove_reader(self._source)
                self.at_end = True
                self._ended()
                return
            self._pass(_buffer[:count])
            if count < BUFFER or self.rest or self.at_end:
                return

    def _pass(self, data: memoryview | bytes) -> None:
        sent = self._send(data)
        self._heard(data)
        if sent < len(data) and not self.at_end:
            self.rest = memoryview(bytes(data[sent:]))
            self._loop.remove_reader(self._source)
            self._loop.add_writer(self._sink, self._writable)

    def _writable(self) -> None:
        sent = self._send(self.rest)
        if sent < len(self.rest):
            self.rest = self.rest[sent:]
            return
        self.rest = b""
        self._loop.remove_writer(self._sink)
        if self._flushed:
            self._flushed()
        elif not self.at_end:
            self._loop.add_reader(self._source, self._readable)

    def _send(self, data: memoryview | bytes) -> int:
        """Return how much the sink took; a sink that broke takes, and loses, everything."""
        if self._deaf:
            return len(data)
        try:
            return self._sink.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            self._deaf = True
            self._broke()
            return len(data)


class Relay:
    """Both directions, and the order in which the two sides are let go."""

    def __init__(
        self,
        client: socket.socket,
        upstream: socket.socket,
        *,
        tap: Tap | None,
        client_left: Callable[[], None],
    ) -> None:
        self._client, self._upstream, self._tap = client, upstream, tap
        self._client_left = client_left
        self._left = False
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._up = Pump(
            client,
            upstream,
            heard=tap.from_tui if tap else _unheard,
            ended=self._client_ended,
            broke=lambda: self._let_go_within(GRACE),
        )
        self._down = Pump(
            upstream,
            client,
            heard=tap.from_server if tap else _unheard,
            ended=self._upstream_ended,
            broke=self._client_broke,
        )

    async def run(self, from_client: bytes, from_upstream: bytes) -> None:
        """Relay until both sides have ended, or one has and the other had its time."""
        try:
            self._down.start(from_upstream)
            self._up.start(from_client)
            await self._done
        finally:
            self._up.stop()
            self._down.stop()
            if self._timer:
                self._timer.cancel()

    def go_away(self, reason: str) -> None:
        """Tell the TUI to reconnect, where the stream allows it, and end."""
        if not self._down.rest:
            self._say_goodbye(reason)
        self._let_go_within(0)

    def _client_ended(self) -> None:
        self._note_leaving()
        self._let_go_within(FLUSH_PATIENCE if self._up.rest else GRACE)
        self._up.when_flushed(self._pass_on_the_end)

    def _pass_on_the_end(self) -> None:
        _shut(self._upstream)
        self._let_go_within(0 if self._down.at_end else GRACE)

    def _client_broke(self) -> None:
        """The TUI takes no more; what it still said is in its socket and goes up."""
        self._note_leaving()
        self._let_go_within(GRACE)

    def _note_leaving(self) -> None:
        if not self._left:
            self._left = True
            self._client_left()

    def _upstream_ended(self) -> None:
        self._let_go_within(FLUSH_PATIENCE if self._down.rest else GRACE)
        self._down.when_flushed(self._close_the_client)

    def _close_the_client(self) -> None:
        self._say_goodbye("the Codex app-server went away")
        _shut(self._client)
        self._let_go_within(0 if self._up.at_end else GRACE)

    def _say_goodbye(self, reason: str) -> None:
        """Put a close frame into the stream, unless it is within a frame or already closed."""
        if self._tap and self._tap.answers.between_frames and not self._tap.answers.closing:
            with contextlib.suppress(OSError):
                self._client.send(close_frame(GOING_AWAY, reason))

    def _let_go_within(self, seconds: float) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._finish)

    def _finish(self) -> None:
        if not self._done.done():
            self._done.set_result(None)


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)


def _unheard(data: memoryview | bytes) -> None:
    """Listen to nothing."""
