"""A daemon that speaks ``wire/claude.py`` on a real socket and does what a test tells it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from websockets.asyncio.server import ServerConnection, unix_serve
from websockets.exceptions import ConnectionClosed

from agentbridged.identity import started
from agentbridged.paths import Paths

WAIT = 20.0
"""Seconds anything may take on a busy machine."""


def paths_below(directory: Path) -> Paths:
    """Paths of a private agentbridge."""
    runtime = directory / "r"
    runtime.mkdir(mode=0o700, exist_ok=True)
    return Paths(runtime=runtime, state=directory / "s", config_file=directory / "c.toml")


class ScriptedDaemon:
    """Answers attach and send; remembers every request; closes as told."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.refuse: tuple[int, str] | None = None
        """Close code and reason for whoever attaches."""
        self.on_send: Callable[[dict[str, Any]], dict[str, Any] | None] = self._store
        """Answers a send; ``None`` cuts the connection without an answer."""
        self.connections: list[ServerConnection] = []
        self.greeting: list[dict[str, Any]] = []
        """Messages sent after each attach."""
        self._ids: dict[str, str] = {}
        self._changed = asyncio.Event()

    async def serve(self, connection: ServerConnection) -> None:
        """One connection."""
        try:
            async for frame in connection:
                await self._take(connection, json.loads(frame))
        except ConnectionClosed:
            return

    def named(self, method: str) -> list[dict[str, Any]]:
        """The params of all requests of this method so far."""
        return [params for name, params in self.requests if name == method]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a request that makes the condition true."""
        async with asyncio.timeout(WAIT):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def notify(self, method: str, params: dict[str, Any]) -> None:
        """Tell the seat something."""
        await self.connections[-1].send(
            json.dumps({"jsonrpc": "2.0", "method": method, "params": params})
        )

    async def close(self, code: int, reason: str) -> None:
        """Close the seat's connection."""
        await self.connections[-1].close(code, reason)

    async def _take(self, connection: ServerConnection, message: dict[str, Any]) -> None:
        method, params = message["method"], message["params"]
        self.requests.append((method, params))
        self._changed.set()
        if method == "attach" and self.refuse is not None:
            await connection.close(*self.refuse)
            return
        answer = self._answer(method, params)
        if answer is None:
            connection.transport.abort()
            return
        with suppress(ConnectionClosed):  # it may have said goodbye behind this request
            await connection.send(json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer}))
        if method == "attach":
            self.connections.append(connection)
            for greeting in self.greeting:
                await self.notify("message", greeting)

    def _answer(self, method: str, params: dict[str, Any]) -> dict[str, Any] | None:
        match method:
            case "attach":
                attached = {"bridge": "p-1", "root": "/p", "codex": None, "pending": 0}
                return {"result": attached}
            case "send":
                return self.on_send(params)
            case "status":
                return {"result": {"state": "active", "codex": {"status": "idle"}}}
            case _:
                return {"result": {}}

    def _store(self, params: dict[str, Any]) -> dict[str, Any]:
        key = params["idempotency_key"]
        duplicate = key in self._ids
        number = self._ids.setdefault(key, f"ab-{len(self._ids) + 1:012d}")
        sent = {"id": number, "state": "accepted", "duplicate": duplicate, "note": ""}
        return {"result": sent}


@asynccontextmanager
async def serving(
    paths: Paths, daemon: ScriptedDaemon | None = None
) -> AsyncIterator[ScriptedDaemon]:
    """Run a daemon on ``claude.sock``; its lock file names this process."""
    daemon = daemon or ScriptedDaemon()
    born = started(psutil.Process())
    paths.lock_file.write_text(
        json.dumps({"pid": os.getpid(), "create_time": born, "version": "0"}), encoding="utf-8"
    )
    async with unix_serve(daemon.serve, str(paths.claude_socket), close_timeout=1):
        yield daemon
    paths.claude_socket.unlink(missing_ok=True)


def codex_says(number: int, text: str, **more: Any) -> dict[str, Any]:
    """Params of a ``message``."""
    return {
        "id": f"ab-{number:012x}",
        "seq": number,
        "from": "codex",
        "text": text,
        "thread_id": "t-1",
        "turn_id": "u-1",
        "created_at": "2026-11-24T10:00:00Z",
        **more,
    }
