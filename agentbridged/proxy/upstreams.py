"""Where the app-server listens now, and connecting to it."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from typing import Final

from agentbridged.errors import Unavailable
from agentbridged.peercred import peer_of

RETRY: Final = 0.1
"""Seconds until a refused connection is tried again, within the bounds of its caller."""


class Upstreams:
    """The app-server's address as the daemon last named it; "" while there is none."""

    def __init__(self) -> None:
        self.path = ""
        self._changed = asyncio.Event()

    def move(self, path: str) -> None:
        """The daemon named another address; who waits for one looks again at once."""
        self.path = path
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def connect(self) -> socket.socket:
        """
        Return a non-blocking connection, as soon as one can be had.

        Tries without end; the caller bounds it.
        """
        while True:
            changed = self._changed
            if self.path:
                try:
                    return _connect(Path(self.path))
                except (OSError, Unavailable):
                    pass  # It is starting or ending: the daemon will say so, or it comes back.
            await _first(changed, RETRY if self.path else None)

    async def moved_or_waited(self) -> None:
        """Return when the address changes, or after :data:`RETRY` seconds."""
        await _first(self._changed, RETRY)


async def _first(event: asyncio.Event, seconds: float | None) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


def _connect(path: Path) -> socket.socket:
    """Connect without waiting: a Unix socket accepts or refuses at once (unix(7))."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        connection.connect(os.fspath(path))
        if not peer_of(connection).is_us:
            raise Unavailable(f"{path} is served by another user")
    except BaseException:
        connection.close()
        raise
    return connection
