"""A door with small bridges behind it, and shims that come through it."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, unix_connect

from agentbridged.children import liveness
from agentbridged.claude.seat import Processes
from agentbridged.claude.server import ClaudeDoor
from agentbridged.claude.session import Session
from agentbridged.errors import ConfigError
from agentbridged.wire import claude

PATIENCE = 30.0
"""Seconds that anything may take on a busy machine; no test waits so long to pass."""

Json = dict[str, Any]


@dataclass
class SmallBridge:
    """A bridge that remembers what it was told; its knobs make it refuse, wait or fail."""

    id: str
    root: str
    killed: str | None = None
    fails: Exception | None = None
    gate: asyncio.Event | None = None
    """When set: what ``send`` waits for."""
    pushes: list[claude.Message] = field(default_factory=list)
    """What is pushed to a session while it is being seated."""
    told: list[tuple[str, Any]] = field(default_factory=list)
    session: Session | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def _tell(self, what: str, value: Any) -> None:
        self.told.append((what, value))
        self.news.set()

    def what(self, kind: str) -> list[Any]:
        """Return what was told of this kind."""
        return [value for what, value in self.told if what == kind]

    async def until(self, kind: str, count: int = 1) -> list[Any]:
        """Wait until so much was told of this kind."""
        async with asyncio.timeout(PATIENCE):
            while len(self.what(kind)) < count:
                self.news.clear()
                await self.news.wait()
        return self.what(kind)

    def refusal(self) -> str | None:
        return self.killed

    def seated(self, session: Session) -> claude.Attached:
        if self.fails:
            raise self.fails
        self.session = session
        for message in self.pushes:
            session.push(message)
        self._tell("seated", session.key)
        return claude.Attached(bridge=self.id, root=self.root, codex=None, pending=len(self.pushes))

    def unseated(self, session: Session, why: str) -> None:
        self.session = None if session is self.session else self.session
        self._tell("unseated", (session.key, why))

    async def send(self, session: Session, send: claude.Send) -> claude.Sent:
        if self.gate is not None:
            await self.gate.wait()
        if self.fails:
            raise self.fails
        self._tell("send", send.text)
        return claude.Sent(id="ab-1", state="accepted", duplicate=False, note="")

    def delivered(self, session: Session, delivered: claude.Delivered) -> None:
        self._tell("delivered", delivered.ids)

    def tried(self, session: Session, tried: claude.Tried) -> None:
        self._tell("tried", (tried.ids, tried.step, tried.result, tried.detail))

    def consumed(self, session: Session, consumed: claude.Consumed) -> None:
        self._tell("consumed", consumed.ids)

    async def interrupt(self, session: Session) -> Json:
        return {"interrupted": True}

    def status(self) -> Json:
        return {"id": self.id}


class SmallDaemon:
    """The bridges of one daemon, one per directory below ``/work``."""

    def __init__(self) -> None:
        self.bridges: dict[str, SmallBridge] = {}

    def bridge_for(self, project_dir: str) -> SmallBridge:
        if not project_dir.startswith("/"):
            raise ConfigError("project_dir", f"{project_dir!r} is not an absolute path")
        name = project_dir.rpartition("/")[2]
        return self.bridges.setdefault(name, SmallBridge(id=name, root=project_dir))


class Shim:
    """The client's end of one connection."""

    def __init__(self, ws: ClientConnection) -> None:
        self.ws = ws
        self.notes: list[Json] = []
        """Notifications heard while waiting for answers."""
        self._ids = itertools.count(1)

    async def attach(self, **changes: Any) -> Json:
        """Attach and return the answer."""
        return await self.call("attach", **attach_params(**changes))

    async def ask(self, method: str, **params: Any) -> int:
        """Send a request and return its id."""
        identity = next(self._ids)
        await self.say({"jsonrpc": "2.0", "id": identity, "method": method, "params": params})
        return identity

    async def say(self, message: Any) -> None:
        """Send one JSON value."""
        await self.ws.send(json.dumps(message))

    async def call(self, method: str, **params: Any) -> Json:
        """Send a request and return what it is answered."""
        return await self.answer(await self.ask(method, **params))

    async def answer(self, identity: int) -> Json:
        """Wait for an answer; notifications that come before are kept in *notes*."""
        while (heard := await self.hear()).get("id") != identity:
            self.notes.append(heard)
        return heard

    def go_silent(self) -> None:
        """Read nothing from now on: a ping gets no pong."""
        self.ws.transport.pause_reading()

    def listen_again(self) -> None:
        """Read what came meanwhile."""
        self.ws.transport.resume_reading()

    async def hear(self) -> Json:
        """Wait for one message."""
        async with asyncio.timeout(PATIENCE):
            heard: Json = json.loads(await self.ws.recv())
        return heard

    async def closed(self) -> tuple[int | None, str | None]:
        """Wait for the end; return its code and reason."""
        async with asyncio.timeout(PATIENCE):
            await self.ws.wait_closed()
        return self.ws.protocol.close_code, self.ws.protocol.close_reason


def attach_params(**changes: Any) -> Json:
    """Return the params of a good ``attach`` to the project ``/work/p``, with changes."""
    params = {"contract": 1, "project_dir": "/work/p", "session_id": "s1"}
    return params | {"claude_pid": os.getpid(), "take_over": False} | changes


@dataclass
class Hall:
    """An open door and what is behind it."""

    door: ClaudeDoor
    daemon: SmallDaemon
    running: asyncio.Task[None]

    def stop(self) -> None:
        """Close the door, as the daemon does at its end."""
        self.running.cancel()

    @asynccontextmanager
    async def shim(self) -> AsyncIterator[Shim]:
        """Connect."""
        async with unix_connect(
            str(self.door.path), compression=None, ping_interval=None, proxy=None
        ) as ws:
            yield Shim(ws)

    @property
    def bridge(self) -> SmallBridge:
        """The bridge that :func:`attach_params` names."""
        return self.daemon.bridge_for("/work/p")


@asynccontextmanager
async def open_hall(processes: Processes = liveness) -> AsyncIterator[Hall]:
    """Open a door in a short private directory; close it at the end."""
    with tempfile.TemporaryDirectory(prefix="ab", dir="/tmp") as directory:
        daemon = SmallDaemon()
        door = ClaudeDoor(Path(directory) / "claude.sock", daemon, processes)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(door.run())
            await door.opened.wait()
            try:
                yield Hall(door, daemon, running)
            finally:
                running.cancel()
