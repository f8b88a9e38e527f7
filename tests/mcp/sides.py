"""The real daemon's side and the real shim's, put together on lines in memory, for one project."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

from agentbridged.bridges.bridge import Bridge
from agentbridged.claude.conversation import Conversation
from agentbridged.claude.server import ClaudeDoor
from agentbridged.config import Governor, Settings
from agentbridged.machines.recovery import Recovery
from agentbridged.machines.relay_policy import Relayed
from agentbridged.machines.switch import Verb
from agentbridged.mcp.channel import Channel
from agentbridged.mcp.connection import Connection
from agentbridged.mcp.delivery import Delivery
from agentbridged.mcp.shim import Shim
from agentbridged.mcp.tools import Tools
from agentbridged.paths import Paths
from agentbridged.store import Store
from agentbridged.wire.mcp import Arguments
from tests.mcp.line import End, Line
from tests.mcp.model import ClaudeCode, ModelInbox, ModelSession

BRIDGE, ROOT = "p-1", "/p"
UNGOVERNED = Settings(governor=Governor(enabled=False))
"""No person ever speaks to the bridge in here."""


class Troubles(logging.Handler):
    """Errors of ours that the daemon logs and goes on after."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it, with where it came from."""
        self.said.append(logging.Formatter().format(record))


class Processes:
    """Which Claude Codes live."""

    def __init__(self) -> None:
        self.all: dict[int, ClaudeCode] = {}

    def identify(self, pid: int) -> ClaudeCode | None:
        """Return the one of this pid."""
        claude = self.all.get(pid)
        return claude if claude and self.is_alive(claude) else None

    def is_alive(self, identity: ClaudeCode) -> bool:
        """Whether it has not ended."""
        return not identity.ended.is_set()

    def is_stopped(self, identity: ClaudeCode) -> bool:
        """None ever is."""
        return False

    async def wait_for_end(self, identity: ClaudeCode) -> None:
        """Wait until it ends."""
        await identity.ended.wait()


class Door(ClaudeDoor):
    """The door, without a socket."""

    def start_in(self, tasks: asyncio.TaskGroup) -> None:
        """Let its work be part of this group."""
        self._tasks = tasks

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._tasks.create_task(work)  # what fails ends the test

    def identify(self, claude_pid: int, ws: Any) -> tuple[int, Any | None]:
        """Return the process by the pid it named."""
        return claude_pid, self._processes.identify(claude_pid)


async def ended(*tasks: asyncio.Task[Any]) -> None:
    """End these, as a kill does."""
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task


class Daemon:
    """What a ``kill -9`` takes away."""

    def __init__(
        self, store: Store, processes: Processes, start: Callable[..., asyncio.Task[None]]
    ) -> None:
        row = store.bridge(BRIDGE)
        assert row is not None
        self.bridge = Bridge(row, store, lambda: UNGOVERNED, lambda event, details: None)
        self.door = Door(Path("/x/claude.sock"), self, processes)
        self.lines: list[Line] = []
        self._calls: asyncio.Queue[Line] = asyncio.Queue()
        self.task = start(self._run())

    def bridge_for(self, project_dir: str) -> Bridge:
        """Return the one bridge."""
        return self.bridge

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            self.door.start_in(tasks)
            while True:
                line = await self._calls.get()
                tasks.create_task(self._serve(line.daemon))

    async def _serve(self, end: Any) -> None:
        await Conversation(end, self.door).run()

    def dialled(self) -> End:
        """A shim connects."""
        line = Line()
        self.lines.append(line)
        self._calls.put_nowait(line)
        return line.shim

    async def says(self, said: Relayed) -> None:
        """Codex said something."""
        self.bridge._ledger.relayed("th", [said])

    async def switch(self, verb: Verb) -> None:
        """A person kills, revives, pauses or resumes the bridge."""
        self.bridge.switch(verb, by="person", reason="")
        if verb == "kill":
            self.door.kill(BRIDGE, "killed")

    @property
    def line(self) -> Line | None:
        """The connection of the session, if there is one."""
        return next((line for line in reversed(self.lines) if line.is_open), None)


class OwnConnection(Connection):
    """The shim's line, to whichever daemon runs."""

    dial: Callable[[], Any]

    async def _open(self) -> Any:
        return self.dial()


class _Handshake:
    """A server whose ``initialize`` was answered."""

    client_version = "2.1.330"

    def __init__(self) -> None:
        self.initialized = asyncio.Event()
        self.initialized.set()


class Server:
    """One ``agentbridge-mcp``, as a Claude Code started it."""

    def __init__(
        self,
        claude: ClaudeCode,
        dial: Callable[[], Any],
        start: Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]],
    ) -> None:
        self._start = start
        session = ModelSession(claude.environment, parent=claude.pid, cwd=Path(ROOT))
        inbox = ModelInbox(claude)
        channel = Channel(claude.notified, asked_for=lambda: bool(claude.channel))
        now = asyncio.get_running_loop().time()
        self.delivery = Delivery(session, inbox, channel, now=now)
        paths = Paths(runtime=claude.home, state=claude.home, config_file=claude.home / "c")
        self.connection = OwnConnection(
            paths,
            session,
            Recovery(jitter=lambda: 0.5),
            on_message=self.delivery.message,
            on_notice=lambda notice: None,
            on_seated=self.delivery.retell,
            on_unseated=self.delivery.unseated,
        )
        self.connection.dial = dial
        self.tools = Tools(self.connection, self.delivery)
        handshake: Any = _Handshake()
        program = Shim(paths, session, inbox)
        self.task = start(
            program._serve(handshake, asyncio.Event(), self.connection, self.delivery)
        )

    def call(self, arguments: Arguments) -> asyncio.Task[str]:
        """Claude Code calls a tool."""
        return self._start(self.tools.call(arguments))


def refused() -> Any:
    """Dial where no daemon is."""
    raise ConnectionRefusedError
