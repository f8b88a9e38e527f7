"""One bridge's Codex side on a real app-server, and the person at the same app-server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agentbridged.codex.client import AppServerClient
from agentbridged.codex.hub import Hub
from agentbridged.codex.side import CodexSide
from agentbridged.machines.delivery import Mail
from agentbridged.wire import codex
from tests.codex.conftest import RealServer
from tests.codex.memory import Memory


class Desk:
    """One side on a real app-server, as the daemon composes it."""

    def __init__(self, server: RealServer, owner: Memory, last: str | None = None) -> None:
        self.server = server
        self.owner = owner
        self.side = CodexSide(owner, last_thread=last)
        self.hub = Hub(lambda _: self.side, lambda: [self.side])

    def send(self, id: str, text: str, **options: object) -> None:
        self.owner.ours.add(id)
        self.side.accept(Mail(id, text, **options))  # type: ignore[arg-type]  # a Mail's own fields

    def hear(self, event: codex.Event) -> None:
        """Whoever waits for the owner's news may wait for what the side knows as well."""
        self.hub.heard(event)
        self.owner.news.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[AppServerClient]:
        client = await AppServerClient.connect(self.server.socket)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run()) for run in (client.run, self.side.run, self.hub.run)]
            await client.initialize()
            self.hub.connected(client)
            client.heard = self.hear
            try:
                yield client
            finally:
                self.hub.gone()
                await client.close()
                for task in tasks:
                    task.cancel()


@asynccontextmanager
async def person(server: RealServer) -> AsyncIterator[AppServerClient]:
    client = await AppServerClient.connect(server.socket)
    async with asyncio.TaskGroup() as group:
        group.create_task(client.run())
        await client.initialize()
        try:
            yield client
        finally:
            await client.close()


async def opens_a_thread(client: AppServerClient, server: RealServer) -> str:
    params = {"cwd": str(server.project)}
    return (await client.call("thread/start", params, codex.ThreadAnswer)).thread.id


async def types(client: AppServerClient, thread_id: str, line: str) -> None:
    params = {"threadId": thread_id, "input": codex.text_input(line)}
    await client.call("turn/start", params, dict)
