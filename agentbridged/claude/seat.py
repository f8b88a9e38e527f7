"""
The seat of one bridge: carries out what the gate decides.

The gate (:mod:`agentbridged.machines.gate`) says who gets the seat; this asks holders for a sign of
life, watches their processes, tells the bridge, and closes connections. No method but the tasks
awaits, so that between hearing and deciding nothing else can happen.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol, assert_never

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from agentbridged.claude.session import Session, close
from agentbridged.errors import AgentBridgeError
from agentbridged.machines.gate import (
    PROBE_TIMEOUT_S,
    Claim,
    Close,
    Command,
    Probe,
    Seat,
    SeatGate,
    SessionId,
    Sign,
)
from agentbridged.wire import jsonrpc
from agentbridged.wire.claude import Attached, Consumed, Delivered, Send, Sent, Tried
from agentbridged.wire.close import CloseCode, fit_reason

log = logging.getLogger(__name__)

INTERNAL_ERROR = 1011
STOOD_STILL = 0.5
"""Seconds a deadline comes late by, when it was we who were stopped or suspended."""

Start = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]


class Seatable(Protocol):
    """One bridge, as the Claude door sees it."""

    @property
    def id(self) -> str:
        """The bridge's id."""

    @property
    def root(self) -> str:
        """The project's root."""

    def refusal(self) -> str | None:
        """Why nobody may attach (the reason of 4003), or :obj:`None` when one may."""

    def seated(self, session: Session) -> Attached:
        """
        The session has the seat; return the answer of ``attach``.

        What is pushed meanwhile follows the answer. Called again when a seated session attaches
        anew with another session id or pid (after ``/clear``, say).
        """

    def unseated(self, session: Session, why: str) -> None:
        """The session lost the seat or left."""

    async def send(self, session: Session, send: Send) -> Sent:
        """Take a message for Codex; raises :exc:`~agentbridged.errors.Refused`."""

    def delivered(self, session: Session, delivered: Delivered) -> None:
        """Messages were handed to Claude Code."""

    def tried(self, session: Session, tried: Tried) -> None:
        """Messages did not get through by one step of the ladder; the next one follows."""

    def consumed(self, session: Session, consumed: Consumed) -> None:
        """Messages are proven to have reached the model."""

    async def interrupt(self, session: Session) -> dict[str, Any]:
        """Interrupt Codex's turn; raises :exc:`~agentbridged.errors.Refused`."""

    def status(self) -> dict[str, Any]:
        """The bridge's status, as the admin API shows it."""


class Processes(Protocol):
    """Whether a process is still the one it was: what ``children.liveness`` offers."""

    def identify(self, pid: int) -> Any | None:
        """Return what tells this process from any later one of the same pid, if it lives."""

    def is_alive(self, identity: Any) -> bool:
        """Whether it lives: not a zombie, not another process under its pid."""

    def is_stopped(self, identity: Any) -> bool:
        """Whether it stands still, so that it can answer nobody."""

    async def wait_for_end(self, identity: Any) -> None:
        """Wait for its death; return at once when it is dead."""


@dataclass(eq=False)
class Occupant:
    """A session at the gate, with its connection and what is known of its process."""

    session: Session
    ws: ServerConnection
    request: jsonrpc.Id
    """Id of the ``attach`` to be answered."""
    process: Any | None
    watch: asyncio.Task[None] | None = field(default=None, repr=False)


class SeatKeeper:
    """Performs the gate's commands for one bridge."""

    def __init__(self, bridge: Seatable, processes: Processes, start: Start) -> None:
        self.bridge = bridge
        self._processes = processes
        self._start = start
        self._gate = SeatGate()
        self._occupants: dict[SessionId, Occupant] = {}

    @property
    def holder(self) -> Session | None:
        """The session that has the seat."""
        number = self._gate.holder
        return None if number is None else self._occupants[number].session

    def arrive(self, newcomer: Occupant, *, take_over: bool) -> None:
        """A session asks for the seat; ``session.decided`` is set when it is answered."""
        session = newcomer.session
        self._occupants[session.number] = newcomer
        sign = self._sign()
        now = asyncio.get_running_loop().time()
        claim = Claim(session.number, session.name)
        self._perform(self._gate.arrive(claim, now=now, sign=sign, take_over=take_over))

    def _sign(self) -> Sign:
        number = self._gate.holder
        if number is None:
            return Sign.UNKNOWN
        holder = self._occupants[number]
        if holder.process is not None and not self._processes.is_alive(holder.process):
            return Sign.DEAD
        if holder.ws.state is State.CLOSING:
            # Its shim said goodbye and may never hang up: from here on that takes bounded time.
            self._start(close(holder.ws, CloseCode.EVICTED, "closing"))
            return Sign.CLOSING
        return Sign.UNKNOWN if holder.process is None else Sign.ALIVE

    def depart(self, session: Session, why: str) -> None:
        """A session's connection ended, or it gave the seat back."""
        occupant = self._occupants.pop(session.number, None)
        if occupant is not None:
            self._unseat(occupant, why)
            self._perform(self._gate.depart(session.number))

    def renew(self, session: Session, request: jsonrpc.Id, process: Any | None) -> None:
        """A seated session attached again, as another conversation or process."""
        occupant = self._occupants[session.number]
        occupant.request, occupant.process = request, process
        self._gate.rename(Claim(session.number, session.name))
        self._seat(occupant)

    def release(self, by: str) -> bool:
        """Evict the holder, if there is one."""
        commands = self._gate.release(by)
        self._perform(commands)
        return bool(commands)

    def dismiss(self, code: CloseCode, reason: str) -> None:
        """Close holder and newcomer."""
        self._perform(self._gate.dismiss(code, reason))

    def _perform(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case Seat(number):
                    self._seat(self._occupants[number])
                case Probe(number, deadline):
                    self._start(self._probe(self._occupants[number], deadline))
                case Close(number, code, reason):
                    self._close(self._occupants.pop(number), code, reason)
                case unreachable:
                    assert_never(unreachable)

    def _seat(self, occupant: Occupant) -> None:
        session = occupant.session
        session.seated = True
        place = len(session.outlet)
        try:
            attached = self.bridge.seated(session)
        except Exception as error:
            log.exception("%s: cannot seat %s", self.bridge.id, session.name)
            why = str(error) if isinstance(error, AgentBridgeError) else "internal error"
            self._occupants.pop(session.number)
            self._close(occupant, INTERNAL_ERROR, why)
            self._perform(self._gate.depart(session.number))
            return
        session.attached = attached
        session.outlet.put(jsonrpc.success(occupant.request, attached), place=place)
        log.info("%s: seat given to %s", self.bridge.id, session.name)
        session.decided.set()
        self._watch(occupant)

    def _watch(self, occupant: Occupant) -> None:
        if occupant.watch is not None:
            occupant.watch.cancel()
        process = occupant.process
        occupant.watch = None
        if process is not None:
            occupant.watch = self._start(self._await_death(occupant.session, process))

    async def _await_death(self, session: Session, process: Any) -> None:
        await self._processes.wait_for_end(process)
        self._perform(self._gate.vanish(session.number))

    async def _probe(self, holder: Occupant, deadline: float) -> None:
        answered = False
        try:
            async with asyncio.timeout_at(deadline):
                # Shielded: websockets before 15 breaks on the pong of a ping that was given up.
                await asyncio.shield(await holder.ws.ping())
                answered = True
                if self._is_stopped(holder):
                    # Its shim answers for a Claude Code that cannot; it may still be continued.
                    await holder.ws.wait_closed()
                    return  # Its departure answers the newcomer.
        except TimeoutError:
            now = asyncio.get_running_loop().time()
            if not answered and now > deadline + STOOD_STILL:
                # What the holder said while we stood still is not read yet.
                await self._probe(holder, now + PROBE_TIMEOUT_S)
                return
            if not answered or self._is_stopped(holder):
                # The deadline itself, as timers may fire a clock's tick early.
                self._perform(self._gate.expire(now=deadline))
                return
        except ConnectionClosed:
            return
        self._perform(self._gate.vouch(holder.session.number))

    def _is_stopped(self, holder: Occupant) -> bool:
        return holder.process is not None and self._processes.is_stopped(holder.process)

    def _close(self, occupant: Occupant, code: int, reason: str) -> None:
        log.info("%s: %s closed with %d: %s", self.bridge.id, occupant.session.name, code, reason)
        occupant.session.verdict = (code, reason)
        self._unseat(occupant, reason)
        occupant.session.decided.set()
        self._start(close(occupant.ws, code, fit_reason(reason)))

    def _unseat(self, occupant: Occupant, why: str) -> None:
        if occupant.watch is not None:
            occupant.watch.cancel()
        if occupant.session.seated:
            occupant.session.seated = False
            try:
                self.bridge.unseated(occupant.session, why)
            except Exception:
                log.exception("%s: unseating %s", self.bridge.id, occupant.session.name)
