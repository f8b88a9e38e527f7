"""
The proxy's end of the line to the daemon: tells it about TUIs, takes its word on the app-server.

Any number of daemons may listen, though but for a moment there is one. Each first hears who this
is and which TUIs are here; what happens while none listens is told to the next one as it is then.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from typing import Final, assert_never

from agentbridged import __version__
from agentbridged.errors import ProtocolError
from agentbridged.peercred import peer_of
from agentbridged.wire.link import (
    FromDaemon,
    FromProxy,
    Hello,
    Shutdown,
    TuiCame,
    TuiLeft,
    TuiShows,
    Upstream,
    decode_from_daemon,
    encode,
)

BACKLOG_LIMIT: Final = 1024 * 1024
"""Bytes of news a daemon may leave unread before it is taken for hung, and cut."""

HANG_UP_PATIENCE: Final = 1.0
"""Seconds the lines have to end once they are hung up."""

log = logging.getLogger(__name__)


class Newsdesk:
    """
    The TUIs as they are now, and the daemons that listen.

    *upstream* is called with the app-server's socket when a daemon names it, *shutdown* when one
    wants the proxy gone, *changed* whenever the number of daemons or TUIs has changed.
    """

    def __init__(
        self,
        generation: int,
        *,
        upstream: Callable[[str], None],
        shutdown: Callable[[], None],
        changed: Callable[[], None],
    ) -> None:
        self._hello = Hello(pid=os.getpid(), generation=generation, version=__version__)
        self._upstream, self._shutdown, self._changed = upstream, shutdown, changed
        self._tuis: dict[int, list[FromProxy]] = {}
        self._daemons: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def is_quiet(self) -> bool:
        """Whether no TUI is here and no daemon listens."""
        return not self._tuis and not self._daemons

    async def open(self, listener: socket.socket) -> None:
        """Serve daemons on this socket until :meth:`close`."""
        self._server = await asyncio.start_unix_server(self._serve, sock=listener)

    def listen_no_more(self) -> None:
        """Take no further daemon."""
        if self._server:
            self._server.close()

    async def close(self) -> None:
        """Stop listening and hang up."""
        self.listen_no_more()
        for daemon in list(self._daemons):
            daemon.close()
        if self._serving:
            await asyncio.wait(self._serving, timeout=HANG_UP_PATIENCE)
        if self._server:
            await self._server.wait_closed()

    def came(self, tui: int, pid: int) -> None:
        """A TUI connected."""
        self._tuis[tui] = [TuiCame(tui, pid)]
        self._tell(TuiCame(tui, pid))
        self._changed()

    def shows(self, tui: int, thread_id: str) -> None:
        """A TUI shows this thread now."""
        if news := self._tuis.pop(tui, None):
            self._tuis[tui] = [news[0], TuiShows(tui, thread_id)]  # the latest switch is told last
            self._tell(self._tuis[tui][1])

    def left(self, tui: int) -> None:
        """A TUI's connection ended."""
        if self._tuis.pop(tui, None):
            self._tell(TuiLeft(tui))
            self._changed()

    def _tell(self, news: FromProxy) -> None:
        for daemon in self._daemons:
            daemon.write(encode(news))
            if daemon.transport.get_write_buffer_size() > BACKLOG_LIMIT:
                daemon.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        try:
            if not peer_of(writer.get_extra_info("socket")).is_us:
                return
            # No await between the greeting and the listing: no news falls in between.
            writer.write(encode(self._hello))
            writer.writelines(encode(news) for tui in self._tuis.values() for news in tui)
            self._daemons.add(writer)
            self._changed()
            while line := await reader.readline():
                self._obey(decode_from_daemon(line))
        except (ProtocolError, ValueError) as error:
            log.warning("a daemon is not understood, and cut: %s", error)
        except OSError:
            log.debug("a daemon's line broke")
        finally:
            self._daemons.discard(writer)
            writer.close()
            self._changed()

    def _obey(self, message: FromDaemon) -> None:
        match message:
            case Upstream(path=path):
                self._upstream(path)
            case Shutdown():
                self._shutdown()
            case unreachable:
                assert_never(unreachable)
