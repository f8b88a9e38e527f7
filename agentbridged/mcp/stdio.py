"""
Standard input and output as lines, on the event loop: nothing here blocks, polls or spins.

Lines end at ``\\n``. One longer than :data:`LINE_LIMIT` bytes is dropped and reported as such.
What is written is queued and leaves as fast as the other side reads.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import BinaryIO

LINE_LIMIT = 32 * 1024 * 1024
"""Bytes of one incoming line; a message of the longest text, escaped, has less than a fourth."""

_CHUNK = 65536


class Lines:
    """Cuts a stream of bytes into lines."""

    def __init__(
        self,
        on_line: Callable[[bytes], None],
        on_too_long: Callable[[], None],
        limit: int = LINE_LIMIT,
    ) -> None:
        self._on_line, self._on_too_long, self._limit = on_line, on_too_long, limit
        self._kept = bytearray()
        self._searched = 0
        self._dropping = False

    def feed(self, data: bytes) -> None:
        """Take in the next bytes; blank lines are skipped."""
        self._kept += data
        start = 0
        while (end := self._kept.find(b"\n", max(start, self._searched))) >= 0:
            self._emit(bytes(self._kept[start:end]))
            start = end + 1
        del self._kept[:start]
        if len(self._kept) > self._limit:
            self._too_long()
        self._searched = len(self._kept)

    def end(self) -> None:
        """Take what is left as the last line: the stream ended."""
        self._emit(bytes(self._kept))
        self._kept.clear()

    def _emit(self, line: bytes) -> None:
        if self._dropping:
            self._dropping = False
        elif line.strip():
            self._on_line(line)

    def _too_long(self) -> None:
        self._kept.clear()
        if not self._dropping:
            self._dropping = True
            self._on_too_long()


class _Reading(asyncio.Protocol):
    def __init__(self, lines: Lines, on_end: Callable[[], None]) -> None:
        self._lines, self._on_end = lines, on_end

    def data_received(self, data: bytes) -> None:
        self._lines.feed(data)

    def eof_received(self) -> None:
        self._lines.end()

    def connection_lost(self, error: Exception | None) -> None:
        self._on_end()


async def read(
    stream: BinaryIO, lines: Lines, on_end: Callable[[], None]
) -> asyncio.ReadTransport | None:
    """
    Feed *lines* from *stream* until it ends, then call *on_end*.

    A file cannot be waited for, nor need it be: it is read at once, and :obj:`None` returned.
    """
    loop = asyncio.get_running_loop()
    try:
        transport, _ = await loop.connect_read_pipe(lambda: _Reading(lines, on_end), stream)
    except (ValueError, PermissionError):
        while chunk := os.read(stream.fileno(), _CHUNK):
            lines.feed(chunk)
        lines.end()
        on_end()
        return None
    return transport


class Output:
    """Standard output: a pipe or socket through the loop, a file directly."""

    def __init__(self, stream: BinaryIO, transport: asyncio.WriteTransport | None) -> None:
        self._stream, self._transport = stream, transport

    def write(self, line: bytes) -> None:
        """Write one line (without its end); lost when nobody reads any more."""
        if self._transport is None:
            self._stream.write(line + b"\n")
            self._stream.flush()
        elif not self._transport.is_closing():
            self._transport.write(line + b"\n")

    def close(self) -> None:
        """Let go of the stream."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def is_flushed(self) -> bool:
        """Whether all was handed to the other side."""
        return self._transport is None or self._transport.get_write_buffer_size() == 0


async def open_output(stream: BinaryIO) -> Output:
    """Open *stream* for writing lines."""
    loop = asyncio.get_running_loop()
    try:
        transport, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, stream)
    except (ValueError, PermissionError):
        return Output(stream, None)
    return Output(stream, transport)
