import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agentbridged.codex.client import AppServerClient
from agentbridged.codex.server import AppServer, control_socket
from agentbridged.errors import CodexLacks
from tests.codex.conftest import RealServer
from tests.fakes.other_codex import OtherCodex

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

    def __init__(self, server: RealServer, socket: Path | None = None) -> None:
        self.child = Child(server)
        self.connections: asyncio.Queue[AppServerClient] = asyncio.Queue()
        self.losses: asyncio.Queue[None] = asyncio.Queue()
        self.app_server = AppServer(
            lambda: [socket or server.socket],
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


async def test_what_the_app_server_lacks_is_told_as_long_as_it_is_the_one(
    app_server: RealServer, tmp_path: Path
) -> None:
    other = OtherCodex(lacking={"thread/queue/add"}, version="0.150.0")
    async with other.serving(tmp_path / "other.sock", app_server.socket):
        watched = Watched(app_server, tmp_path / "other.sock")
        async with watched.running():
            client = await watched.connections.get()
            assert watched.app_server.degraded() == []
            with pytest.raises(CodexLacks):
                await client.call("thread/queue/add", {}, dict)
            (row,) = watched.app_server.degraded()
            assert (row["program"], row["method"]) == ("codex", "thread/queue/add")
            assert row["problem"] == "Invalid request: unknown variant `thread/queue/add`"
            assert set(row) == {"program", "method", "problem", "instead", "since"}
            status = watched.app_server.status()
            assert (status["version"], status["measured"]) == ("0.150.0", "0.169.0")
    assert watched.app_server.degraded() == []


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
