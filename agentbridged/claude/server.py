"""
The door of Claude sessions: a WebSocket server on ``claude.sock``.

Only processes of this user come in, none from a browser. One connection is one session; the seat
of each bridge has one holder (:mod:`agentbridged.machines.gate`).
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
import weakref
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from websockets.asyncio.server import Server, ServerConnection, unix_serve
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from agentbridged.claude.conversation import Conversation
from agentbridged.claude.seat import Processes, Seatable, SeatKeeper
from agentbridged.claude.session import CLOSE_S, Outlet, Session
from agentbridged.machines.gate import SessionId
from agentbridged.peercred import listen_private, peer_of, remove_socket
from agentbridged.wire import claude
from agentbridged.wire.close import CloseCode, fit_reason

log = logging.getLogger(__name__)

# The library logs each malformed handshake with a traceback; what matters of it, we log.
_library_log = logging.getLogger("agentbridged.claude.websockets")
_library_log.setLevel(logging.CRITICAL)

FRAME_LIMIT = 8 * 2**20
"""Bytes of a message: the longest text is 4,000,000 bytes of UTF-8."""
HANDSHAKE_S = 10.0
STOP_S = 3.0
"""How long the connections may take to end when the door closes."""
_LIBRARY_CODES = frozenset({1002, 1007, 1009})
"""What the library closes a malformed, wrongly encoded or too big frame with."""


class Seats(Protocol):
    """The daemon, as the Claude door sees it."""

    def bridge_for(self, project_dir: str) -> Seatable:
        """Return the bridge of a project, a new one if need be; raises an AgentBridgeError."""


class ShimConnection(ServerConnection):
    """A connection that closes malformed frames with the contract's 4005."""

    def __init__(self, protocol: ServerProtocol, server: Server, **options: Any) -> None:
        super().__init__(protocol, server, **options)
        # The server makes the protocol itself, so its class cannot be chosen.
        protocol.fail = partial(_fail, protocol.fail)  # type: ignore[method-assign]


def _fail(library_fail: Callable[[int, str], None], code: int, reason: str = "") -> None:
    if code in _LIBRARY_CODES:
        code, reason = CloseCode.NOT_ATTACHED, f"malformed frame: {reason}"
    library_fail(code, fit_reason(reason))


async def _guarded(work: Coroutine[Any, Any, None]) -> None:
    """What fails for one session is logged and ends nothing else."""
    try:
        await work
    except Exception:
        log.exception("work for a session failed")


class ClaudeDoor:
    """Serves ``claude.sock`` and keeps the seats of all bridges."""

    def __init__(
        self,
        path: Path,
        seats: Seats,
        processes: Processes,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = path
        self.opened = asyncio.Event()
        """Set once sessions can connect."""
        self._seats = seats
        self._processes = processes
        self._clock = clock
        self._keepers: dict[str, SeatKeeper] = {}
        self._numbers = itertools.count(1)
        self._connections: weakref.WeakSet[ShimConnection] = weakref.WeakSet()
        self._tasks: asyncio.TaskGroup

    async def run(self) -> None:
        """
        Serve until cancelled; then close all sessions with 1001, in bounded time.

        Raises :exc:`~agentbridged.errors.Refused` when somebody listens there already.
        """
        listener = listen_private(self.path)
        try:
            async with asyncio.TaskGroup() as self._tasks:
                server = await unix_serve(
                    self._serve,
                    sock=listener,
                    create_connection=self._connect,
                    process_request=self._check_peer,
                    origins=[None],
                    compression=None,
                    max_size=FRAME_LIMIT,
                    open_timeout=HANDSHAKE_S,
                    close_timeout=CLOSE_S,
                    # Unix sockets tell of a peer's death; a stopped session may stay.
                    ping_interval=None,
                    logger=_library_log,
                )
                self.opened.set()
                try:
                    await asyncio.get_running_loop().create_future()
                finally:
                    self.opened.clear()
                    await self._stop(server)
        finally:
            listener.close()
            remove_socket(self.path)

    async def _stop(self, server: Server) -> None:
        server.close()  # with 1001, going away
        # wait() and not timeout(): before Python 3.11.3 the latter fails in a cancelled task.
        closed = asyncio.ensure_future(server.wait_closed())
        _, open_still = await asyncio.wait({closed}, timeout=STOP_S)
        if open_still:
            for connection in self._connections:
                connection.transport.abort()
            await asyncio.wait({closed}, timeout=STOP_S)

    def _connect(self, *arguments: Any, **options: Any) -> ShimConnection:
        connection = ShimConnection(*arguments, **options)
        self._connections.add(connection)
        return connection

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._tasks.create_task(_guarded(work))

    def kill(self, bridge_id: str, reason: str) -> None:
        """Close the sessions of a bridge with 4003; the bridge's refusal keeps others out."""
        if keeper := self._keepers.get(bridge_id):
            keeper.dismiss(CloseCode.KILLED, reason)

    def release(self, bridge_id: str, by: str) -> bool:
        """Evict the holder of a bridge's seat (4002); return whether there was one."""
        keeper = self._keepers.get(bridge_id)
        return keeper is not None and keeper.release(by)

    def holder(self, bridge_id: str) -> Session | None:
        """Return the session that has the seat of a bridge."""
        keeper = self._keepers.get(bridge_id)
        return None if keeper is None else keeper.holder

    def _check_peer(self, connection: ServerConnection, request: Request) -> Response | None:
        try:
            peer = peer_of(connection.transport.get_extra_info("socket"))
        except OSError:
            return connection.respond(403, "who is there?\n")
        if peer.is_us:
            return None
        log.warning("refused a connection of uid %d (pid %s)", peer.uid, peer.pid)
        return connection.respond(403, "this socket belongs to another user\n")

    async def _serve(self, connection: ServerConnection) -> None:
        await _guarded(Conversation(connection, self).run())

    # What a conversation needs

    def keeper_for(self, project_dir: str) -> SeatKeeper:
        """Return who keeps the seat of a project; raises an AgentBridgeError."""
        bridge = self._seats.bridge_for(project_dir)
        keeper = self._keepers.get(bridge.id)
        if keeper is None:
            keeper = SeatKeeper(bridge, self._processes, self._start)
            self._keepers[bridge.id] = keeper
        return keeper

    def identify(self, claude_pid: int, ws: ServerConnection) -> tuple[int, Any | None]:
        """
        Return pid and identity of the process that a session stands for.

        That is the claimed Claude Code, or, when no such process lives, whoever connected.
        """
        if (process := self._processes.identify(claude_pid)) is not None:
            return claude_pid, process
        try:
            pid = peer_of(ws.transport.get_extra_info("socket")).pid
        except OSError:
            pid = None
        if pid is None:
            return claude_pid, None
        return pid, self._processes.identify(pid)

    def welcome(self, attach: claude.Attach, outlet: Outlet) -> Session:
        """Make a session that is yet without a seat."""
        number = SessionId(next(self._numbers))
        return Session(number, attach, outlet, since=self._clock())
