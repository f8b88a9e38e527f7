"""
The line to the daemon: connects, attaches, calls, and gets up again as :class:`Recovery` says.

One task, :meth:`Connection.run`, reads the socket and is the only one to tell the recovery machine
what happened. Others call, or wait for the seat. Nothing polls while the seat is held.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec import Raw

from agentbridged.errors import (
    AgentBridgeError,
    ConnectionLost,
    DaemonNotRunning,
    DaemonSilent,
    ProtocolError,
    Refused,
)
from agentbridged.machines.recovery import (
    RULES,
    CheckDaemon,
    Connect,
    News,
    Notices,
    Reason,
    Recovery,
    Rest,
    Trying,
    explain,
    reason_of,
)
from agentbridged.mcp.session import Session
from agentbridged.paths import Paths
from agentbridged.wire import jsonrpc
from agentbridged.wire.claude import CONTRACT, Attach, Attached, Message, Notice

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

    from agentbridged.calls import PendingCalls

T = TypeVar("T")

ATTEMPT_TIMEOUT = 15.0
"""Seconds for connecting and attaching; a contest for the seat takes 3 of them."""
FRAME_LIMIT = 32 * 1024 * 1024
"""Bytes of one frame: the longest text with every character escaped has 6,000,000."""


class Connection:
    """One session's line to the daemon."""

    def __init__(
        self,
        paths: Paths,
        session: Session,
        recovery: Recovery,
        *,
        on_message: Callable[[Message], None],
        on_notice: Callable[[Notice], None],
        on_seated: Callable[[], None],
        on_unseated: Callable[[Reason], None],
    ) -> None:
        self.paths, self.session, self.recovery = paths, session, recovery
        self.attached: Attached | None = None
        self._on_message, self._on_notice = on_message, on_notice
        self._on_seated, self._on_unseated = on_seated, on_unseated
        self._notices = Notices()
        self._changed = asyncio.Event()
        self._session_id = ""
        self._link: tuple[ClientConnection, PendingCalls] | None = None

    async def run(self) -> None:
        """Keep the line for ever; ends only by cancellation."""
        loop = asyncio.get_running_loop()
        while True:
            command = self.recovery.next(now=loop.time())
            match command:
                case Connect(take_over):
                    await self._attempt(take_over)
                case CheckDaemon():
                    alive = daemon_is_alive(self.paths)
                    self.recovery.daemon_checked(alive, now=loop.time())
                case Rest(until):
                    await self._change(until)

    async def tell(self) -> None:
        """Pass on news about the connection when they are due; ends only by cancellation."""
        loop = asyncio.get_running_loop()
        while True:
            await self._change(self._notices.next_deadline())
            if news := self._notices.expire(now=loop.time()):
                self._on_notice(Notice(kind=news.kind, text=news.text))

    async def seat(self, until: float) -> bool:
        """Wait for the seat until this time of the loop's clock, or until waiting is no use."""
        self.recovery.nudge()
        self._announce()
        while not self.recovery.is_seated:
            if self.recovery.is_final or asyncio.get_running_loop().time() >= until:
                return False
            await self._change(until)
        return True

    async def first_outcome(self, until: float) -> None:
        """Wait until the first attempt has ended, one way or the other, or until this time."""
        while not self.recovery.attempts and not self._is_late(until):
            await self._change(until)

    async def ask(self, *, take_over: bool) -> bool:
        """A person wants the seat: try now; says whether it was got."""
        until = asyncio.get_running_loop().time() + ATTEMPT_TIMEOUT + 1
        while isinstance(self.recovery.phase, Trying) and not self._is_late(until):
            await self._change(until)
        before = self.recovery.attempts
        self.recovery.ask(take_over=take_over)
        self._announce()
        while not self.recovery.is_seated and self.recovery.attempts == before:
            if self._is_late(until):
                return False
            await self._change(until)
        seated = self.recovery.is_seated
        self._notices.known("connected" if seated else self.recovery.reason.value)
        return seated

    async def call(self, method: str, params: Any, kind: type[T], *, within: float) -> T:
        """
        Ask the daemon something.

        Raises :exc:`ConnectionLost` when the line broke (it may have been done),
        :exc:`DaemonSilent` after *within* seconds, :exc:`DaemonNotRunning` without a line,
        :exc:`Refused` when the seat was taken away, and the daemon's own refusals.
        """
        if self._link is None or not self.recovery.is_seated:
            raise DaemonNotRunning(self.recovery.explain())
        socket, pending = self._link
        attach = self._introduction()
        if attach.session_id != self._session_id:
            # After /clear: the seat stays ours, under the new id.
            self._session_id = attach.session_id
            await _call(socket, pending, "attach", attach, Attached, within)
        return await _call(socket, pending, method, params, kind, within)

    async def detach(self) -> None:
        """Say goodbye and close the line."""
        if self._link is None:
            return
        socket, _ = self._link
        from websockets.exceptions import ConnectionClosed

        try:
            await socket.send(jsonrpc.request(0, "detach").decode())
        except ConnectionClosed:
            return
        await socket.close()

    def _is_late(self, until: float) -> bool:
        return asyncio.get_running_loop().time() >= until

    async def _attempt(self, take_over: bool) -> None:
        code, detail = await self._serve(take_over)
        self.attached = self._link = None
        now = asyncio.get_running_loop().time()
        self.recovery.ended(code, detail, now=now)
        reason = self.recovery.reason
        self._notices.heard(News(reason.value, self.recovery.explain()), now=now)
        self._on_unseated(reason)
        self._announce()

    async def _serve(self, take_over: bool) -> tuple[int | None, str]:
        """Hold one connection from its beginning to its end; returns how it ended."""
        from agentbridged.calls import PendingCalls

        socket: ClientConnection | None = None
        pending = PendingCalls()
        how: tuple[int | None, str] = (None, "")
        try:
            async with asyncio.timeout(ATTEMPT_TIMEOUT):
                socket = await self._open()
                self._link = (socket, pending)
                self.attached = await self._attach(socket, pending, take_over)
            self._seated(self.attached)
            while True:
                self._take(await socket.recv(), pending)
        except Exception as error:
            # Also for a fault of ours: Claude Code does not restart a server that ended.
            how = self._account(error)
        finally:
            pending.end(_fate(*how))
            if socket is not None:
                await socket.close()
        return how

    def _account(self, error: Exception) -> tuple[int | None, str]:
        """Say how a connection ended: the close code, if there is one, and words."""
        from websockets.exceptions import ConnectionClosed, InvalidHandshake

        from agentbridged.calls import AnswerError

        match error:
            case ConnectionClosed():
                return _how(error)
            case TimeoutError():
                return None, "the agentbridge daemon does not answer"
            case FileNotFoundError() | ConnectionRefusedError():
                return None, ""
            case OSError() | InvalidHandshake():
                return None, f"cannot connect to {self.paths.claude_socket}: {error}"
            case AnswerError():
                return _code_of_refusal(error), str(error)
            case AgentBridgeError():
                return None, str(error)
            case _:
                complain(f"unexpected, going on: {error!r}")
                return None, f"unexpected: {error!r}"

    async def _open(self) -> ClientConnection:
        from websockets.asyncio.client import unix_connect

        from agentbridged.peercred import peer_of

        socket = await unix_connect(
            os.fspath(self.paths.claude_socket),
            max_size=FRAME_LIMIT,
            compression=None,
            open_timeout=ATTEMPT_TIMEOUT,
            close_timeout=0.2,
        )
        if not peer_of(socket.transport.get_extra_info("socket")).is_us:
            await socket.close()
            raise Refused(f"{self.paths.claude_socket} belongs to another user")
        return socket

    async def _attach(
        self, socket: ClientConnection, pending: PendingCalls, take_over: bool
    ) -> Attached:
        params = self._introduction(take_over=take_over)
        self._session_id = params.session_id
        with pending.call() as (identity, answer):
            await socket.send(jsonrpc.request(identity, "attach", params).decode())
            while not answer.done():
                self._take(await socket.recv(), pending)
            return _read(await answer, Attached)

    def _introduction(self, *, take_over: bool = False) -> Attach:
        return Attach(
            contract=CONTRACT,
            project_dir=str(self.session.project_dir),
            session_id=self.session.id,
            claude_pid=self.session.pid,
            take_over=take_over,
        )

    def _seated(self, attached: Attached) -> None:
        now = asyncio.get_running_loop().time()
        self.recovery.seated(now=now)
        text = f"connected again; this is bridge {attached.bridge}"
        self._notices.heard(News("connected", text), now=now)
        self._on_seated()
        self._announce()

    def _take(self, frame: str | bytes, pending: PendingCalls) -> None:
        try:
            self._dispatch(jsonrpc.decode(frame), pending)
        except ProtocolError as error:
            complain(f"the daemon sent something malformed: {error}")

    def _dispatch(self, message: jsonrpc.Message, pending: PendingCalls) -> None:
        match message:
            case jsonrpc.Success() | jsonrpc.Failure():
                pending.settle(message)
            case jsonrpc.Notification("message", params):
                self._on_message(jsonrpc.params_as(Message, params))
            case jsonrpc.Notification("notice", params):
                self._on_notice(jsonrpc.params_as(Notice, params))
            case jsonrpc.Notification() | jsonrpc.Request():
                pass  # A newer daemon's news: nothing we could do about it.

    async def _change(self, until: float | None) -> None:
        """Wait until something changes, or until a time of the loop's clock."""
        try:
            async with asyncio.timeout_at(until):
                await self._changed.wait()
        except TimeoutError:
            return

    def _announce(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


async def _call(
    socket: ClientConnection,
    pending: PendingCalls,
    method: str,
    params: Any,
    kind: type[T],
    within: float,
) -> T:
    from websockets.exceptions import ConnectionClosed

    from agentbridged.calls import AnswerError

    try:
        async with asyncio.timeout(within):
            with pending.call() as (identity, answer):
                await socket.send(jsonrpc.request(identity, method, params).decode())
                return _read(await answer, kind)
    except AnswerError as error:
        raise Refused(str(error), kind=_kind(error) or "refused") from error
    except ConnectionClosed as error:
        raise _fate(*_how(error)) from error
    except TimeoutError as error:
        raise DaemonSilent(f"the daemon did not answer within {within:.0f} s") from error


def _read(result: Raw, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(result, type=kind)
    except msgspec.DecodeError as error:
        raise ProtocolError(f"the daemon's answer: {error}") from error


def _how(error: Any) -> tuple[int | None, str]:
    """Say with which code and words a connection closed."""
    return (error.rcvd.code, error.rcvd.reason) if error.rcvd is not None else (None, "")


def _fate(code: int | None, detail: str) -> AgentBridgeError:
    """What a call without an answer is told: a verdict at once, or only that the line broke."""
    reason = reason_of(code)
    if reason is Reason.DISCONNECTED:
        return ConnectionLost("the connection ended before the answer came")
    return Refused(explain(reason, detail), kind=reason.value)


def _kind(error: Any) -> str:
    data = error.error.data
    kind = data.get("kind") if isinstance(data, dict) else None
    return kind if isinstance(kind, str) else ""


def _code_of_refusal(error: Any) -> int | None:
    """Find the close code a refused ``attach`` stands for, if its kind is a reason of ours."""
    kind = _kind(error)
    return next((r.code for reason, r in RULES.items() if reason.value == kind), None)


def complain(problem: str) -> None:
    """Say something on stderr, which Claude Code keeps in its debug log only."""
    print(f"agentbridge-mcp: {problem}", file=sys.stderr, flush=True)


class _Lock(msgspec.Struct):
    pid: int
    create_time: float


def daemon_is_alive(paths: Paths) -> bool:
    """Tell whether the process that wrote the daemon's lock file still runs."""
    from agentbridged.identity import Identity, is_alive

    try:
        lock = msgspec.json.decode(paths.lock_file.read_bytes(), type=_Lock)
    except (OSError, ValueError):
        return False
    return is_alive(Identity(lock.pid, lock.create_time))
