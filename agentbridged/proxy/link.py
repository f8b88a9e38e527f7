"""
The daemon's end of the line to the proxy.

A line that breaks is tried again for ever, with back-off, until :meth:`ProxyLink.run` is
cancelled. The proxy greets each new line with ``Hello`` and then all TUIs it has, so a ``Hello``
means: forget what was known of TUIs before.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from agentbridged.errors import ProtocolError
from agentbridged.peercred import peer_of
from agentbridged.wire.link import (
    FromDaemon,
    FromProxy,
    Upstream,
    decode_from_proxy,
    encode,
)

BACKOFF: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds before each next attempt; the last is repeated. :meth:`ProxyLink.nudge` starts over."""

log = logging.getLogger(__name__)


def _nothing() -> None:
    """Nobody wants to know."""


class ProxyLink:
    """
    A line to the proxy that listens on *path*.

    *heard* is called with each message; *lost* when a line that had been greeted is gone, after
    which nothing is known about TUIs. Neither may raise.
    """

    def __init__(
        self,
        path: Path,
        heard: Callable[[FromProxy], None],
        *,
        lost: Callable[[], None] = _nothing,
    ) -> None:
        self.connected = False
        """Whether a line is up and the proxy has greeted."""
        self._path, self._heard, self._lost = path, heard, lost
        self._upstream: Upstream | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._nudged = asyncio.Event()

    def tell(self, message: FromDaemon) -> None:
        """
        Say this to the proxy.

        The last ``Upstream`` is said again on each new line; anything else is dropped while there
        is none.
        """
        if isinstance(message, Upstream):
            self._upstream = message
        if self._writer is not None:
            self._writer.write(encode(message))

    def nudge(self) -> None:
        """Try to connect at once: a proxy is known to be there now."""
        self._nudged.set()

    async def run(self) -> None:
        """Keep the line up until cancelled."""
        attempt = 0
        while True:
            greeted = await self._once()
            attempt = 0 if greeted or self._nudged.is_set() else attempt + 1
            self._nudged.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BACKOFF[min(attempt, len(BACKOFF) - 1)]):
                    await self._nudged.wait()

    async def _once(self) -> bool:
        """Live through one line; return whether it came to a greeting."""
        try:
            reader, writer = await asyncio.open_unix_connection(self._path)
        except OSError:
            return False
        try:
            if not peer_of(writer.get_extra_info("socket")).is_us:
                raise ProtocolError("it belongs to another user")
            self._writer = writer
            if self._upstream is not None:
                writer.write(encode(self._upstream))
            while line := await reader.readline():
                message = decode_from_proxy(line)
                self.connected = True
                self._heard(message)
        except (ProtocolError, ValueError) as error:
            log.warning("the line to the Codex proxy is cut: %s", error)
        except OSError:
            log.debug("the line to the Codex proxy broke")
        finally:
            greeted, self.connected, self._writer = self.connected, False, None
            writer.close()
            if greeted:
                self._lost()
        return greeted
