"""
One connection on ``claude.sock``: from its ``attach`` to its end.

The first message is ``attach``; what the shim says later goes to the bridge as long as it has the
seat. Reading never waits for an answer, so that the pong of a busy holder is always heard.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any, Protocol

import msgspec
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from agentbridged import __version__
from agentbridged.claude.requests import Requests, failure
from agentbridged.claude.seat import Occupant, SeatKeeper
from agentbridged.claude.session import CLOSE_S, Outlet, Session, close
from agentbridged.errors import AgentBridgeError, ProtocolError, Refused
from agentbridged.wire import claude, jsonrpc
from agentbridged.wire.close import CloseCode, fit_reason

log = logging.getLogger(__name__)

ATTACH_S = 10.0
"""How long a connection may stay without its first message."""
IN_FLIGHT = 64
"""Requests of one session that may wait for their answers at a time."""


class _Contract(msgspec.Struct):
    contract: int


class _End(Exception):
    """The way out of reading: the connection is to be closed."""

    def __init__(self, code: int, reason: str, answer: bytes | None = None) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.answer = answer


class Reception(Protocol):
    """What a conversation needs of the door it came through."""

    def keeper_for(self, project_dir: str) -> SeatKeeper:
        """Return who keeps the seat of a project; raises an :exc:`AgentBridgeError`."""

    def identify(self, claude_pid: int, ws: ServerConnection) -> tuple[int, Any | None]:
        """Return pid and identity of the process that a session stands for."""

    def welcome(self, attach: claude.Attach, outlet: Outlet) -> Session:
        """Make a session that is yet without a seat."""


class Conversation:
    """Reads one connection."""

    def __init__(self, ws: ServerConnection, reception: Reception) -> None:
        self._ws = ws
        self._reception = reception
        self._outlet = Outlet(ws)
        self._tasks = asyncio.TaskGroup()
        self._in_flight: set[asyncio.Task[None]] = set()
        self._keeper: SeatKeeper | None = None
        self._session: Session | None = None
        self._requests: Requests | None = None

    async def run(self) -> None:
        """Read until the connection ends; the seat is free afterwards."""
        async with self._tasks:
            writer = self._tasks.create_task(self._outlet.write())
            try:
                await self._listen()
            except ConnectionClosed:
                pass
            except _End as end:
                await self._end(end)
            finally:
                self._leave("its connection ended")
                for task in (writer, *self._in_flight):
                    task.cancel()

    async def _end(self, end: _End) -> None:
        # What was asked before is answered: a send that was accepted must not look lost.
        if self._in_flight:
            await asyncio.wait(self._in_flight, timeout=CLOSE_S)
        await self._outlet.emptied(CLOSE_S)
        # A killed bridge's shims come by every 5 s; their refusals are no news.
        level = logging.DEBUG if end.code == CloseCode.KILLED else logging.INFO
        log.log(level, "a connection closed with %d: %s", end.code, fit_reason(end.reason))
        with contextlib.suppress(TimeoutError, ConnectionClosed):
            async with asyncio.timeout(CLOSE_S):
                if end.answer is not None:
                    await self._ws.send(end.answer.decode())
        await close(self._ws, end.code, fit_reason(end.reason))

    async def _listen(self) -> None:
        patience: float | None = ATTACH_S
        while True:
            message = await self._receive(patience)
            patience = None
            if self._session is None:
                await self._attach(message)
            elif self._session.seated:
                self._hear(message)
            # Else the connection is being closed, and what is said now is too late.

    async def _receive(self, patience: float | None) -> jsonrpc.Message:
        try:
            async with asyncio.timeout(patience):
                frame = await self._ws.recv()
        except TimeoutError:
            reason = f"nothing was said for {ATTACH_S:g} s; attach first"
            raise _End(CloseCode.NOT_ATTACHED, reason) from None
        except UnicodeDecodeError as error:  # websockets 13; later ones close by themselves
            raise _End(CloseCode.NOT_ATTACHED, f"malformed frame: {error.reason}") from error
        if not isinstance(frame, str):
            raise _End(CloseCode.NOT_ATTACHED, "binary frame; JSON-RPC comes in text frames")
        try:
            return jsonrpc.decode(frame)
        except ProtocolError as error:
            raise _End(CloseCode.NOT_ATTACHED, str(error)) from error

    async def _attach(self, message: jsonrpc.Message) -> None:
        if not isinstance(message, jsonrpc.Request) or message.method != "attach":
            said = getattr(message, "method", "an answer")[:40]
            raise _End(CloseCode.NOT_ATTACHED, f"attach (with an id) must come first, not {said}")
        try:
            attach = _read(message.params)
            keeper = self._reception.keeper_for(attach.project_dir)
        except AgentBridgeError as error:
            answer = failure(message.id, error, what="attach")
            raise _End(CloseCode.NOT_ATTACHED, str(error), answer) from error
        if (refusal := keeper.bridge.refusal()) is not None:
            raise _End(CloseCode.KILLED, refusal)
        attach.claude_pid, process = self._reception.identify(attach.claude_pid, self._ws)
        session = self._reception.welcome(attach, self._outlet)
        self._session, self._keeper = session, keeper
        self._requests = Requests(keeper.bridge, session)
        keeper.arrive(Occupant(session, self._ws, message.id, process), take_over=attach.take_over)
        await self._decision(session)

    async def _decision(self, session: Session) -> None:
        if session.decided.is_set():
            return
        decided = self._tasks.create_task(session.decided.wait())
        closed = self._tasks.create_task(self._ws.wait_closed())
        # Bounded by the gate, which answers a newcomer within its probe's time.
        await asyncio.wait({decided, closed}, return_when=asyncio.FIRST_COMPLETED)
        decided.cancel()
        closed.cancel()

    def _hear(self, message: jsonrpc.Message) -> None:
        match message:
            case jsonrpc.Request(identity, "attach", params):
                self._attach_again(identity, params)
            case jsonrpc.Request(identity, "detach", _):
                self._leave("it detached")
                self._outlet.put(jsonrpc.success(identity, {}))
            case jsonrpc.Notification("detach", _):
                self._leave("it detached")
            case jsonrpc.Request() | jsonrpc.Notification():
                self._ask(message)
            case _:
                log.debug("an answer to nothing was ignored")

    def _ask(self, message: jsonrpc.Request | jsonrpc.Notification) -> None:
        assert self._requests is not None
        if len(self._in_flight) >= IN_FLIGHT and isinstance(message, jsonrpc.Request):
            busy = Refused(f"{IN_FLIGHT} requests wait for their answers already", kind="busy")
            self._outlet.put(failure(message.id, busy, what=message.method))
            return
        task = self._tasks.create_task(self._requests.answer(message))
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)

    def _attach_again(self, identity: jsonrpc.Id, params: Any) -> None:
        assert self._session is not None
        assert self._keeper is not None
        session, keeper = self._session, self._keeper
        try:
            attach = _read(params)
            if self._reception.keeper_for(attach.project_dir) is not keeper:
                root = keeper.bridge.root
                raise Refused(f"this connection has the seat of {root}; detach first")
        except AgentBridgeError as error:
            self._outlet.put(failure(identity, error, what="attach"))
            return
        pid, process = self._reception.identify(attach.claude_pid, self._ws)
        if (attach.session_id, pid) == (session.session_id, session.claude_pid):
            self._outlet.put(jsonrpc.success(identity, session.attached))
            return
        session.session_id, session.claude_pid = attach.session_id, pid
        keeper.renew(session, identity, process)

    def _leave(self, why: str) -> None:
        if self._session is not None and self._keeper is not None:
            self._keeper.depart(self._session, why)
        self._session = self._keeper = self._requests = None


def _read(params: Any) -> claude.Attach:
    """Read ``attach``'s params; another contract ends the connection whatever else they say."""
    spoken = jsonrpc.params_as(_Contract, params).contract
    if spoken != claude.CONTRACT:
        reason = (
            f"agentbridged {__version__} speaks contract {claude.CONTRACT}, "
            f"this session {spoken}; reinstall the older of the two"
        )
        raise _End(CloseCode.CONTRACT, reason)
    return jsonrpc.params_as(claude.Attach, params)
