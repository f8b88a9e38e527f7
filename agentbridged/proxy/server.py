"""
The Codex proxy: listens for TUIs and for the daemon, and ends when nobody needs it.

It outlives the daemon on purpose, so that no TUI notices a restart. It ends on SIGTERM, when a
daemon says so, when a newer generation takes over, or when for a while it had neither a TUI nor a
daemon.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

from agentbridged.errors import ProtocolError, Refused
from agentbridged.peercred import listen_private, peer_of, remove_socket
from agentbridged.proxy.connection import Connection
from agentbridged.proxy.news import Newsdesk
from agentbridged.proxy.upstreams import Upstreams
from agentbridged.wire.link import Hello, Shutdown, decode_from_proxy, encode

TAKE_OVER_PATIENCE: Final = 5.0
"""Seconds an older generation has to go; then its sockets are taken from it."""

FAREWELL: Final = 0.8
"""Seconds the TUIs have, at the end, to take their leave: who stops us may not wait long."""

ACCEPT_PAUSE: Final = 1.0
"""Seconds without new TUIs after the process has run out of file descriptors."""

log = logging.getLogger(__name__)


class Proxy:
    """One generation of the proxy."""

    def __init__(
        self,
        codex_socket: Path,
        link_socket: Path,
        *,
        generation: int,
        idle_exit: float,
        last_duty: Callable[[], bool] = lambda: True,
    ) -> None:
        """
        Serve both sockets, until *idle_exit* seconds went by without a TUI and a daemon.

        *last_duty* is done then; while it returns false, the proxy stays and does it again.
        """
        self._codex_socket, self._link_socket = codex_socket, link_socket
        self._generation, self._idle_exit = generation, idle_exit
        self._last_duty = last_duty
        self._stop = asyncio.Event()
        self._upstreams = Upstreams()
        self._desk = Newsdesk(
            generation,
            upstream=self._upstreams.move,
            shutdown=self.stop,
            changed=self._watch_idleness,
        )
        self._idle: asyncio.TimerHandle | None = None
        self._named: set[Path] = set()
        """The sockets that bear our names still."""
        self._connections: dict[int, Connection] = {}
        self._serving: set[asyncio.Task[None]] = set()
        self._count = 0

    def stop(self) -> None:
        """Close the TUIs' connections with 1001 and end."""
        self._stop.set()

    async def run(self) -> None:
        """Serve until stopped; raises :exc:`Refused` when another proxy has the sockets."""
        await take_over(self._link_socket, self._generation, also=self._codex_socket)
        with contextlib.ExitStack() as stack:
            tuis = stack.enter_context(self._listen(self._codex_socket, stack))
            daemons = stack.enter_context(self._listen(self._link_socket, stack))
            await self._serve(tuis, daemons)

    def _listen(self, path: Path, stack: contextlib.ExitStack) -> socket.socket:
        listener = listen_private(path)
        self._named.add(path)
        stack.callback(self._unname, path)
        return listener

    def _unname(self, path: Path) -> None:
        """Take a socket's name away, once: the next one of that name is a newer generation's."""
        if path in self._named:
            self._named.discard(path)
            remove_socket(path)

    async def _serve(self, tuis: socket.socket, daemons: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            loop.add_reader(tuis, self._accept, tuis, tasks)
            await self._desk.open(daemons)
            self._watch_idleness()
            log.info("generation %d serves %s", self._generation, self._codex_socket)
            try:
                await self._stop.wait()
            finally:
                loop.remove_reader(tuis)
                # Before the farewells: who reconnects now must not come back to us.
                tuis.close()
                self._unname(self._codex_socket)
            await self._dismiss()
            self._desk.listen_no_more()
            # Before the link is cut: then a newer generation takes the names.
            self._unname(self._link_socket)
            await self._desk.close()
            if self._idle:
                self._idle.cancel()

    async def _dismiss(self) -> None:
        """Let all TUIs go: told to reconnect, and then, in bounded time, cut."""
        for connection in self._connections.values():
            connection.go_away("the Codex proxy ends; reconnect")
        if self._serving:
            _, late = await asyncio.wait(self._serving, timeout=FAREWELL)
            for task in late:
                task.cancel()

    def _accept(self, listener: socket.socket, tasks: asyncio.TaskGroup) -> None:
        try:
            client, _ = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            log.warning("no new TUI for %g s: %s", ACCEPT_PAUSE, error.strerror)
            loop = asyncio.get_running_loop()
            loop.remove_reader(listener)
            loop.call_later(ACCEPT_PAUSE, self._resume_accepting, listener, tasks)
            return
        client.setblocking(False)
        try:
            peer = peer_of(client)
        except OSError:
            client.close()
            return
        if not peer.is_us:
            log.warning("uid %d was turned away", peer.uid)
            client.close()
            return
        self._count += 1
        connection = Connection(
            self._count, client, peer.pid or 0, upstreams=self._upstreams, news=self._desk
        )
        self._connections[self._count] = connection
        task = tasks.create_task(connection.run())
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        task.add_done_callback(functools.partial(self._forget, self._count))

    def _forget(self, number: int, _: asyncio.Task[None]) -> None:
        del self._connections[number]

    def _resume_accepting(self, listener: socket.socket, tasks: asyncio.TaskGroup) -> None:
        if not self._stop.is_set():
            asyncio.get_running_loop().add_reader(listener, self._accept, listener, tasks)

    def _watch_idleness(self) -> None:
        """Arm the timer that ends a proxy nobody needs, or disarm it."""
        if self._idle:
            self._idle.cancel()
            self._idle = None
        if self._desk.is_quiet and not self._stop.is_set():
            loop = asyncio.get_running_loop()
            self._idle = loop.call_later(self._idle_exit, self._is_idle)

    def _is_idle(self) -> None:
        if self._last_duty():
            self.stop()
        else:
            self._watch_idleness()


async def take_over(link_socket: Path, generation: int, *, also: Path) -> None:
    """
    See an older generation off its sockets.

    Raises :exc:`Refused` when the one that serves them is no older. One that does not answer or
    does not go within :data:`TAKE_OVER_PATIENCE` loses its sockets' names.
    """
    try:
        reader, writer = await asyncio.open_unix_connection(link_socket)
    except OSError:
        return  # Nobody serves it; if somebody still has the TUIs' socket, listening says so.
    try:
        async with asyncio.timeout(TAKE_OVER_PATIENCE):
            older = decode_from_proxy(await reader.readline())
            if isinstance(older, Hello) and older.generation >= generation:
                raise Refused(
                    f"generation {older.generation} of the Codex proxy runs as pid {older.pid}",
                    kind="in_use",
                )
            log.info("taking over from an older generation")
            writer.write(encode(Shutdown()))
            while await reader.readline():
                pass
    except (TimeoutError, ProtocolError, ValueError, OSError):
        for path in (link_socket, also):
            path.unlink(missing_ok=True)
    finally:
        writer.close()
