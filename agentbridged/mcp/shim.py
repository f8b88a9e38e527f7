"""
``agentbridge-mcp``: the MCP server that Claude Code starts for each session.

Thin on purpose. It answers before it connects, never ends by itself (Claude Code does not restart
it), and ends on the end of its input, SIGINT, SIGTERM or SIGHUP, with status 0, well within the
0.5 s after which Claude Code kills.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from agentbridged import __version__
from agentbridged.errors import AgentBridgeError, ConfigError
from agentbridged.machines.recovery import Recovery
from agentbridged.mcp import stdio
from agentbridged.mcp.channel import SETTLED, Channel, is_asked_for
from agentbridged.mcp.connection import Connection, complain
from agentbridged.mcp.delivery import Delivery
from agentbridged.mcp.inbox import Inbox
from agentbridged.mcp.server import Server
from agentbridged.mcp.session import Session, this_session
from agentbridged.mcp.tools import Tools
from agentbridged.paths import Paths, from_environment
from agentbridged.wire.mcp import Arguments, TurnEnded

GOODBYE_TIMEOUT = 0.3
RESTART_DELAY = 1.0
REPORT_TIMEOUT = 10.0


def main() -> None:
    """Run until Claude Code goes away; ``--version`` says which we are, for a person."""
    import os

    if sys.argv[1:] == ["--version"]:
        print(f"agentbridge-mcp {__version__}")
        return
    try:
        paths = from_environment()
    except ConfigError as error:
        complain(str(error))
        sys.exit(2)
    asyncio.run(Shim(paths, this_session(), Inbox(os.environ)).run())


class Shim:
    """Everything of one session, put together."""

    def __init__(self, paths: Paths, session: Session, inbox: Inbox) -> None:
        self._paths, self._session, self._inbox = paths, session, inbox

    async def run(self) -> None:
        """Serve standard input until it ends or a signal comes."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, stop.set)
        output = await stdio.open_output(sys.stdout.buffer)
        channel = Channel(output.write, asked_for=lambda: is_asked_for(self._session.command()))
        delivery = Delivery(self._session, self._inbox, channel, now=loop.time())
        connection = Connection(
            self._paths,
            self._session,
            Recovery(jitter=random.random),
            on_message=delivery.message,
            on_notice=delivery.notice,
            on_seated=delivery.retell,
            on_unseated=delivery.unseated,
        )
        tools = Tools(connection, delivery)
        used = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:

            async def tool(arguments: Arguments) -> str:
                if not isinstance(arguments, TurnEnded):
                    used.set()
                return await tools.call(arguments)

            server = Server(tasks, output.write, tool)
            lines = stdio.Lines(server.line, server.too_long)
            serving = tasks.create_task(self._serve(server, used, connection, delivery))
            reading = await stdio.read(sys.stdin.buffer, lines, stop.set)
            await stop.wait()
            await _say_goodbye(connection)
            serving.cancel()
            server.cancel_all()
            if reading is not None:
                reading.close()
        output.close()

    async def _serve(
        self, server: Server, used: asyncio.Event, connection: Connection, delivery: Delivery
    ) -> None:
        await server.initialized.wait()
        self._session.version = server.client_version
        delivery.channel.ready_at = asyncio.get_running_loop().time() + SETTLED
        if not (self._inbox.is_offered or self._session.is_recorded):
            # `claude mcp list` only looks whether we start: it must not take anybody's seat.
            await used.wait()

        async def tell(method: str, params: Any) -> bool:
            try:
                await connection.call(method, params, object, within=REPORT_TIMEOUT)
            except AgentBridgeError as error:
                return _is_settled(error)
            return True

        async def report() -> None:
            await delivery.report(tell)

        async with asyncio.TaskGroup() as tasks:
            for work in (connection.run, connection.tell, delivery.push, delivery.watch, report):
                tasks.create_task(_forever(work))


def _is_settled(error: AgentBridgeError) -> bool:
    """Whether telling the daemon again is no use: it understood and refused for good."""
    from agentbridged.errors import Refused

    return isinstance(error, Refused) and error.kind != "unavailable"


async def _forever(work: Callable[[], Awaitable[None]]) -> None:
    """Start *work* again after a fault of ours: the server must not end."""
    while True:
        try:
            await work()
        except Exception as error:
            complain(f"unexpected, going on: {error!r}")
        await asyncio.sleep(RESTART_DELAY)


async def _say_goodbye(connection: Connection) -> None:
    try:
        async with asyncio.timeout(GOODBYE_TIMEOUT):
            await connection.detach()
    except TimeoutError:
        return


if __name__ == "__main__":
    main()
