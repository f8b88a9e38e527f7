"""A Codex side on a small app-server that answers what a test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, unix_serve

from agentbridged.codex.client import AppServerClient
from agentbridged.codex.side import CodexSide
from agentbridged.machines.delivery import Facts, Mail
from tests.codex.memory import Memory

IDLE = Facts(reachable=True, thread=True)
MAIL = Mail("ab-1", "hello")
Answer = Callable[[dict[str, Any]], dict[str, Any] | None]


@asynccontextmanager
async def side_of(path: Path, answer: Answer) -> AsyncIterator[tuple[CodexSide, AppServerClient]]:
    """A side bound to thread ``t`` of an app-server that answers so; ``None``: it hangs up."""

    async def serve(connection: ServerConnection) -> None:
        async for raw in connection:
            request = json.loads(raw)
            given = answer(request)
            if given is None:
                return
            await connection.send(json.dumps({"id": request["id"], **given}))

    async with unix_serve(serve, str(path)), asyncio.TaskGroup() as group:
        client = await AppServerClient.connect(path)
        group.create_task(client.run())
        side = CodexSide(Memory(path.parent), last_thread=None)
        side.thread_id = "t"
        side.delivery.accept(MAIL)
        yield side, client
        await client.close()


def error(code: int, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


def memory(side: CodexSide) -> Memory:
    assert isinstance(side.owner, Memory)
    return side.owner
