"""One bridge's Codex side on a real app-server, and the person at the same app-server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
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


class Heard:
    """What the app-server said to one client, to be waited for."""

    def __init__(self) -> None:
        self.events: list[codex.Event] = []
        self._news = asyncio.Event()

    def __call__(self, event: codex.Event) -> None:
        self.events.append(event)
        self._news.set()

    def ended(self, thread_id: str | None = None) -> list[codex.Turn]:
        """Return the turns that ended, of one thread or of all."""
        ends = [e for e in self.events if isinstance(e, codex.TurnCompleted)]
        return [e.turn for e in ends if thread_id in (None, e.threadId)]

    async def until(self, came: Callable[[], object]) -> None:
        async with asyncio.timeout(60):
            while not came():
                self._news.clear()
                await self._news.wait()

    async def turn_over(self, id: str) -> None:
        await self.until(lambda: id in [turn.id for turn in self.ended()])

    async def turn_end(self, count: int = 1) -> codex.Turn:
        await self.until(lambda: len(self.ended()) >= count)
        return self.ended()[count - 1]


@asynccontextmanager
async def person(server: RealServer) -> AsyncIterator[AppServerClient]:
    """A client that hears, as the TUI does, what becomes of the threads it opens."""
    client = await AppServerClient.connect(server.socket)
    client.heard = Heard()
    async with asyncio.TaskGroup() as group:
        group.create_task(client.run())
        await client.initialize()
        try:
            yield client
        finally:
            await client.close()


def heard_by(client: AppServerClient) -> Heard:
    """Return what a person's client heard."""
    assert isinstance(client.heard, Heard)
    return client.heard


async def opens_a_thread(client: AppServerClient, server: RealServer) -> str:
    """As the TUI does: a thread without a turn."""
    params = {"cwd": str(server.project)}
    return (await client.call("thread/start", params, codex.ThreadAnswer)).thread.id


async def types(client: AppServerClient, thread_id: str, line: str) -> str:
    """Have the person type a line; returns the id of its turn."""
    params = {"threadId": thread_id, "input": codex.text_input(line)}
    return (await client.call("turn/start", params, codex.TurnAnswer)).turn.id


async def turns_are_over(client: AppServerClient, thread_id: str, number: int) -> None:
    """Wait until this many turns have ended of a thread that this person opened."""
    heard = heard_by(client)
    await heard.until(lambda: len(heard.ended(thread_id)) >= number)


async def said(client: AppServerClient, thread_id: str, *lines: str) -> None:
    """Have the person type these lines, each answered before the next."""
    for line in lines:
        await heard_by(client).turn_over(await types(client, thread_id, line))


@asynccontextmanager
async def away_after(
    server: RealServer, owner: Memory, *lines: str
) -> AsyncIterator[tuple[AppServerClient, str]]:
    """A person and a thread; a desk followed it until these lines were answered, and is gone."""
    async with person(server) as tui:
        async with Desk(server, owner).running():
            thread_id = await opens_a_thread(tui, server)
            await owner.until(lambda: thread_id in owner.cursors)
            await said(tui, thread_id, *lines)
            await owner.until(lambda: len(owner.ended) == len(lines))
        yield tui, thread_id
