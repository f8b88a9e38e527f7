"""A private CODEX_HOME for the real Codex, and a small client of its app-server."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosed

from tests.lab.scripted import Json

API_KEY = "dummy"
CONFIG = """\
model = "gpt-5.5"
model_provider = "mock"
approval_policy = "on-request"
sandbox_mode = "read-only"
check_for_update_on_startup = false

[model_providers.mock]
name = "Mock"
base_url = "http://127.0.0.1:{port}/v1"
wire_api = "responses"
env_key = "MOCK_API_KEY"
requires_openai_auth = false
request_max_retries = 1
stream_max_retries = 1

[analytics]
enabled = false

# The rest only keeps the TUI from showing its first-run screens.
[tui]
screen_reader_detection_done = true

[tui.model_availability_nux]
"gpt-6.1-sol" = 4

[notice.model_migrations]
"gpt-5.5" = "gpt-6-sol"
"""


def seed(home: Path, *, port: int, projects: list[Path], extra: str = "") -> None:
    """
    Write ``config.toml`` into a CODEX_HOME, for the mock model on this port.

    The home must not lie below ``/tmp``: Codex would not put its helper programs there.
    """
    home.mkdir(parents=True, exist_ok=True)
    trust = "".join(f'\n[projects."{project}"]\ntrust_level = "trusted"\n' for project in projects)
    (home / "config.toml").write_text(CONFIG.format(port=port) + trust + extra, encoding="utf-8")


def control_socket(home: Path) -> Path:
    """Return where the app-server of a CODEX_HOME listens."""
    return home / "app-server-control" / "app-server-control.sock"


def stored_threads(home: Path) -> set[str]:
    """Return the ids of a CODEX_HOME's threads that have a file, so that they can be resumed."""
    return {file.stem[-36:] for file in (home / "sessions").rglob("rollout-*.jsonl")}


def text_input(text: str) -> list[Json]:
    """Return the ``input`` of ``turn/start`` and ``thread/queue/add`` for a plain text."""
    return [{"type": "text", "text": text, "text_elements": []}]


class AppServerError(Exception):
    """The app-server answered with an error."""


class AppServer:
    """
    A client of an app-server that a test speaks with in person.

    Everything that comes in is kept in :attr:`heard`, in order.
    """

    def __init__(self, socket: ClientConnection) -> None:
        self.heard: list[Json] = []
        self.heard_at: list[float] = []
        """When each of them came, on the clock of :func:`time.perf_counter`."""
        self._socket = socket
        self._ids = itertools.count(1)
        self._news = asyncio.Condition()

    async def call(self, method: str, params: Json | None = None, *, within: float = 30) -> Json:
        """Send a request and return its result; raises :exc:`AppServerError`."""
        number = next(self._ids)
        await self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        answer = await self.wait_for(
            lambda message: message.get("id") == number and "method" not in message, within=within
        )
        if "error" in answer:
            raise AppServerError(answer["error"])
        result: Json = answer["result"]
        return result

    async def notify(self, method: str) -> None:
        """Send a notification without parameters."""
        await self._socket.send(json.dumps({"method": method}))

    async def answer(self, request: Json, result: Any) -> None:
        """Answer one of the server's requests."""
        await self._socket.send(json.dumps({"id": request["id"], "result": result}))

    async def wait_for(
        self, matches: Callable[[Json], bool], *, since: int = 0, within: float = 30
    ) -> Json:
        """Wait for a message that fits, past ones from number *since* included."""
        async with asyncio.timeout(within), self._news:
            while True:
                for message in self.heard[since:]:
                    if matches(message):
                        return message
                await self._news.wait()

    async def read(self) -> None:
        """Take in what the server sends, until the connection ends."""
        with contextlib.suppress(ConnectionClosed):
            async for raw in self._socket:
                async with self._news:
                    self.heard_at.append(time.perf_counter())
                    self.heard.append(json.loads(raw))
                    self._news.notify_all()


@contextlib.asynccontextmanager
async def connect(socket: Path, *, name: str = "lab") -> AsyncIterator[AppServer]:
    """Connect to an app-server and introduce ourselves, with the experimental methods on."""
    async with (
        unix_connect(str(socket), uri="ws://localhost/", max_size=None) as connection,
        asyncio.TaskGroup() as tasks,
    ):
        client = AppServer(connection)
        reader = tasks.create_task(client.read())
        await client.call(
            "initialize",
            {
                "clientInfo": {"name": name, "title": None, "version": "0"},
                "capabilities": {"experimentalApi": True, "requestAttestation": False},
            },
        )
        await client.notify("initialized")
        yield client
        reader.cancel()
