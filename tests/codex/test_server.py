import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agentbridged.codex.client import AppServerClient
from agentbridged.codex.server import AppServer, control_socket
from tests.codex.conftest import RealServer

pytestmark = [pytest.mark.realtime, pytest.mark.end_to_end]


@dataclass
class ChildState:
    state: str = "STOPPED"
    pid: int | None = None
    generation: int = 0
    reason: str = ""


@dataclass
class Child:
    """Our own app-server: it is started when it is wanted."""

    server: RealServer
    status: ChildState = field(default_factory=ChildState)
    wanted: asyncio.Event = field(default_factory=asyncio.Event)

    def start(self) -> None:
        if self.status.state == "STOPPED":
            self.status.state = "STARTING"
            self.wanted.set()


class Watched:
    """An AppServer, and what it tells."""

    def __init__(self, server: RealServer) -> None:
        self.child = Child(server)
        self.connections: asyncio.Queue[AppServerClient] = asyncio.Queue()
        self.losses: asyncio.Queue[None] = asyncio.Queue()
        self.app_server = AppServer(
            lambda: [server.socket],
            self.child,
            name=str,
            connected=lambda client, path: self.connections.put_nowait(client),
            gone=lambda: self.losses.put_nowait(None),
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            task = group.create_task(self.app_server.run())
            yield
            task.cancel()


async def test_an_app_server_that_runs_already_is_joined(app_server: RealServer) -> None:
    watched = Watched(app_server)
    async with watched.running():
        client = await watched.connections.get()
        status = watched.app_server.status()
        assert client.version == "0.169.0"
        assert app_server.process is not None
        assert (status["pid"], status["managed"]) == (app_server.process.pid, False)
        assert (status["state"], status["generation"]) == ("RUNNING", 1)
        assert not watched.child.wanted.is_set()


async def test_ours_is_run_when_there_is_none_and_again_when_it_died(
    app_server: RealServer,
) -> None:
    await asyncio.to_thread(app_server.stop)
    watched = Watched(app_server)
    async with watched.running():
        for generation in (1, 2):
            await watched.child.wanted.wait()
            watched.child.wanted.clear()
            await asyncio.to_thread(app_server.start)
            assert app_server.process is not None
            watched.child.status = ChildState("RUNNING", app_server.process.pid, generation)
            watched.app_server.look()
            await watched.connections.get()
            status = watched.app_server.status()
            assert (status["managed"], status["generation"]) == (True, generation)
            watched.child.status.state = "STOPPED"
            await asyncio.to_thread(app_server.stop)
            await watched.losses.get()
            watched.app_server.look()


def test_the_control_socket_is_where_plain_codex_looks() -> None:
    where = Path("app-server-control/app-server-control.sock")
    assert control_socket({"CODEX_HOME": "/c", "HOME": "/h"}) == "/c" / where
    assert control_socket({"HOME": "/h"}) == "/h/.codex" / where
