"""
The one app-server of the CODEX_HOME: join the one that runs, else run ours, and stay connected.

Codex allows one writer process per thread and many clients per app-server, and plain ``codex``
joins whatever listens on the control socket of its CODEX_HOME. So we connect to what listens there;
when nothing does, we run ``codex app-server`` there as a managed child. Only when that cannot be
had does ours listen on a private socket, and ``reason`` says why.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from agentbridged import peercred
from agentbridged.codex.client import AppServerClient
from agentbridged.errors import Unavailable
from agentbridged.wire import codex
from agentbridged.wire.admin import utc

log = logging.getLogger(__name__)

SEARCH = 5.0
"""Seconds between looks for an app-server while there is none and ours cannot be run."""


class Child(Protocol):
    """Our managed app-server, as far as this module needs it."""

    @property
    def status(self) -> Any:
        """Its state, pid, generation, restarts and reason."""

    def start(self) -> None:
        """Want it up."""


def control_socket(environment: Mapping[str, str]) -> Path:
    """Return the socket that plain ``codex`` looks for (measured, 0.169.0)."""
    home = environment.get("CODEX_HOME") or Path(environment.get("HOME", "~")) / ".codex"
    return Path(home).expanduser() / "app-server-control" / "app-server-control.sock"


def listener(path: Path) -> peercred.Peer | None:
    """Return who listens at *path*; a path that cannot be a socket's is nobody's."""
    try:
        return peercred.is_listening(path.resolve())
    except OSError as error:
        log.debug("nobody can be asked at %s: %s", path, error)
        return None


class AppServer:
    """The connection to the app-server, kept for as long as the daemon lives."""

    def __init__(
        self,
        sockets: Callable[[], list[Path]],
        child: Child,
        *,
        name: Callable[[int | None], str],
        connected: Callable[[AppServerClient, Path], None],
        gone: Callable[[], None],
    ) -> None:
        self._sockets = sockets
        self._child = child
        self._name = name
        self._connected = connected
        self._gone = gone
        self._look = asyncio.Event()
        self._servers = 0
        self._pid: int | None = None
        self.client: AppServerClient | None = None
        self.path: Path | None = None
        self._trouble = ""
        self.identity = ""
        """Names the very process we are connected to, across our own restarts."""

    def status(self) -> dict[str, Any]:
        """Return the ``app_server`` object of the admin API's ``status``."""
        child = self._child.status
        joined = self._pid is not None and self._pid != child.pid
        generation = self._servers if joined else child.generation
        return {
            "state": "RUNNING" if joined else child.state,
            "pid": self._pid if joined else child.pid,
            "generation": generation,
            "restarts": max(generation - 1, 0),
            "version": self.client.version if self.client else None,
            "measured": codex.MEASURED,
            "managed": not joined,
            "connected": self.client is not None,
            "socket": str(self.path) if self.path else None,
            "reason": self._trouble or ("" if joined else child.reason),
        }

    def degraded(self) -> list[dict[str, Any]]:
        """Return what the connected app-server lacks: rows of the admin API's ``degraded``."""
        lacks = self.client.degradations.all() if self.client else []
        return [
            {
                "program": "codex",
                "method": lack.method,
                "problem": lack.problem,
                "instead": lack.instead,
                "since": utc(lack.since),
            }
            for lack in lacks
        ]

    def look(self) -> None:
        """Something changed (the child's state, the configuration): look again now."""
        self._look.set()

    async def run(self) -> None:
        """Stay connected, for ever: join, else start ours and wait until it is there."""
        while True:
            self._look.clear()
            client = await self._join()
            if client is None:
                if self._child.status.state != "FATAL":  # given up on until a person says so
                    self._child.start()
                await self._wait()
            elif not await self._live(client):
                await self._wait()

    async def _wait(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(SEARCH):
                await self._look.wait()

    async def _join(self) -> AppServerClient | None:
        for link in self._sockets():
            path = link.resolve()  # Codex links to a short path when its home is a long one
            peer = listener(path)
            if peer is None:
                continue
            with suppress(Unavailable):
                client = await AppServerClient.connect(path)
                self._note(peer.pid, path)
                return client
        return None

    def _note(self, pid: int | None, path: Path) -> None:
        identity = self._name(pid)
        if identity != self.identity:
            self._servers += 1
        self._pid, self.path, self.identity = pid, path, identity

    async def _live(self, client: AppServerClient) -> bool:
        """Serve one connection until it ends; return whether it ever was of use."""
        assert self.path is not None
        try:
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(client.run())
                try:
                    await client.initialize()
                except Unavailable as error:
                    self._say(str(error))
                    reading.cancel()
                    return False
                self._say("")
                self.client = client
                log.info("connected to app-server %s at %s", client.version, self.path)
                self._connected(client, self.path)
        finally:
            self.client = None
            self._pid = None
            self._gone()
            await client.close()
        return True

    def _say(self, trouble: str) -> None:
        """Keep why an app-server that is there is of no use; each reason is logged once."""
        if trouble and trouble != self._trouble:
            log.warning("%s", trouble)
        self._trouble = trouble
