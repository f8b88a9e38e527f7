"""
The tools, the hook's among them: what each does and answers in each state of the connection.

Arguments are already checked when these are called. Each returns the text for the model and raises
:exc:`~agentbridged.errors.AgentBridgeError` for what becomes an error result.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Any, assert_never

from agentbridged import __version__
from agentbridged.errors import ConnectionLost, DaemonNotRunning, DaemonSilent, Refused
from agentbridged.mcp import envelope, turn_end
from agentbridged.mcp.connection import Connection
from agentbridged.mcp.delivery import Delivery
from agentbridged.mcp.mailbox import Entry
from agentbridged.mcp.persons import Persons
from agentbridged.mcp.ways import in_words
from agentbridged.wire.claude import Send, Sent
from agentbridged.wire.mcp import (
    LONGEST_WAIT,
    Arguments,
    AttachSeat,
    BridgeStatus,
    InterruptCodex,
    ReadMessages,
    SendToCodex,
    TurnEnded,
    WaitForMessage,
)

PATIENCE = 10.0
"""Seconds a tool call waits for the daemon."""
SHORTEST_ANSWER = 2.0
"""Seconds the daemon gets to answer, even at the end of the patience."""
ROOM = 60_000
"""Characters of messages in one result; Claude Code takes 200,000 with our tools' ``_meta``."""


class Tools:
    """The tools of one session."""

    def __init__(self, connection: Connection, delivery: Delivery) -> None:
        self._connection, self._delivery = connection, delivery
        self._persons = Persons(delivery.session)

    async def call(self, arguments: Arguments) -> str:
        """Do what a tool call asks."""
        match arguments:
            case SendToCodex():
                return await self._send(arguments)
            case ReadMessages(limit=limit):
                return await self._read_or_say(limit)
            case WaitForMessage(timeout_s=seconds):
                return await self._wait(seconds)
            case BridgeStatus():
                return await self._status()
            case InterruptCodex():
                return await self._interrupt()
            case AttachSeat(take_over=take_over):
                return await self._attach(take_over)
            case TurnEnded():
                return await turn_end.answer(self._delivery, arguments)
            case unreachable:
                assert_never(unreachable)

    async def _send(self, arguments: SendToCodex) -> str:
        key = arguments.idempotency_key or f"mcp-{secrets.token_hex(8)}"
        params = Send(
            text=arguments.text,
            when_busy=arguments.when_busy,
            idempotency_key=key,
            start_thread=arguments.start_thread,
            person_at=self._persons.latest(),
        )
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE
        doubt = ""
        while await self._connection.seat(until):
            timeout = max(SHORTEST_ANSWER, until - loop.time())
            try:
                sent = await self._connection.call("send", params, Sent, within=timeout)
            except DaemonNotRunning:
                continue  # The line broke before anything was sent.
            except ConnectionLost as error:
                doubt = str(error)
                continue  # The same key: if it was taken, the daemon says so and does no more.
            except DaemonSilent as error:
                doubt = str(error)
                break
            return _receipt(sent)
        if doubt:
            raise ConnectionLost(
                f"it is not known whether the message was taken: {doubt}. To be sure, call "
                f"send_to_codex again with the same text and idempotency_key {key!r}; nothing is "
                "delivered twice."
            )
        raise self._no_seat("nothing was sent")

    async def _wait(self, seconds: float) -> str:
        if not len(self._delivery.mailbox):
            await self._seat("there is nothing to wait for")
        bounded = min(seconds, LONGEST_WAIT)
        with self._delivery.held_back():
            await self._delivery.wait(bounded)
            text = self._read(limit=1000)
        if text:
            return text
        clamped = (
            f" (the longest wait is {LONGEST_WAIT:.0f} s; {seconds:g} was asked)"
            if seconds > bounded
            else ""
        )
        return (
            f"No message from Codex within {bounded:g} s{clamped}. It will come to you by itself; "
            "you need not wait."
        )

    async def _read_or_say(self, limit: int) -> str:
        # What is here can be read whether or not the daemon is there.
        if text := self._read(limit):
            return text
        await self._seat("there is nothing to read")
        return self._read(limit) or "No unread messages from Codex."

    def _read(self, limit: int) -> str:
        """Take unconfirmed messages, as many as a result holds; empty when there are none."""
        self._delivery.look()
        parts: list[str] = []
        whole: list[str] = []
        room = ROOM
        entries = self._delivery.mailbox.unconfirmed()
        for entry in entries[:limit]:
            if room <= 0:
                break
            part, end = _part(entry, room)
            parts.append(part)
            room -= len(part)
            if end >= len(entry.message.text):
                whole.append(entry.message.id)
            self._delivery.mailbox.pushed(entry, end)
        self._delivery.consumed(whole, "tool")
        if left := len(entries) - len(whole):
            parts.append(f"[{left} not shown in full yet; call read_messages again]")
        footer = envelope.footer(entry.message for entry in entries)
        return "\n".join([*parts, footer]) if parts else ""

    async def _status(self) -> str:
        connection = self._connection
        await connection.first_outcome(asyncio.get_running_loop().time() + PATIENCE)
        lines = [f"agentbridge {__version__}"]
        if connection.recovery.is_seated and (attached := connection.attached):
            lines += [
                "connection: attached, this session holds the seat",
                f"bridge: {attached.bridge} ({attached.root})",
                *await self._bridge(),
            ]
        else:
            lines.append(f"connection: {connection.recovery.explain()}")
        return "\n".join([*lines, *self._ladder()])

    async def _bridge(self) -> list[str]:
        try:
            status = await self._connection.call("status", {}, dict[str, Any], within=5.0)
        except (Refused, ConnectionLost, DaemonSilent, DaemonNotRunning) as error:
            return [f"codex: not known: {error}"]
        told = {k: v for k, v in status.items() if k not in ("id", "root", "claude")}
        told["codex"] = status.get("codex") or "no thread in this project"
        return [
            f"{name}: {_plain(value)}" for name, value in told.items() if value not in (None, "")
        ]

    def _ladder(self) -> list[str]:
        waiting = len(self._delivery.mailbox.waiting())
        unproven = len(self._delivery.mailbox) - waiting
        lines = [
            *in_words(self._delivery.described()),
            f"messages for you: {waiting} waiting, {unproven} handed over and not yet seen in "
            "your transcript",
        ]
        if notice := self._delivery.latest_notice:
            lines.append(f"latest notice: {notice.text}")
        return lines

    async def _interrupt(self) -> str:
        await self._seat("nothing was interrupted")
        answer = await self._connection.call("interrupt", {}, Any, within=PATIENCE)
        return _plain(answer) or "Asked Codex to stop its turn."

    async def _attach(self, take_over: bool) -> str:
        connection = self._connection
        if connection.recovery.is_seated and connection.attached:
            return f"This session already holds the seat of {connection.attached.bridge}."
        if await connection.ask(take_over=take_over) and connection.attached:
            return f"Attached: this session holds the seat of {connection.attached.bridge}."
        raise Refused(f"not attached: {connection.recovery.explain()}")

    async def _seat(self, otherwise: str) -> None:
        if not await self._connection.seat(asyncio.get_running_loop().time() + PATIENCE):
            raise self._no_seat(otherwise)

    def _no_seat(self, otherwise: str) -> Refused:
        recovery = self._connection.recovery
        return Refused(f"{otherwise}. {recovery.explain()}", kind=recovery.reason.value)


def _receipt(sent: Sent) -> str:
    again = (
        " (this idempotency_key was used before; nothing was sent twice)" if sent.duplicate else ""
    )
    note = f" {sent.note}" if sent.note else ""
    return f"{sent.id} {sent.state}{again}.{note}"


def _part(entry: Entry, room: int) -> tuple[str, int]:
    """Wrap what of an entry fits: the rest of a text whose head was pushed, else all of it."""
    message = entry.message
    start = entry.handed if not entry.is_whole else 0
    end = min(len(message.text), start + room)
    text = envelope.tagged(message, repeat=entry.repeat, start=start, end=end)
    if entry.pushed and not start:
        text = f"[already handed to you; not yet seen in your transcript]\n{text}"
    return text, end


def _plain(value: Any) -> str:
    """Write a value of the daemon's in words a model reads easily."""
    match value:
        case None:
            return "none"
        case dict():
            return ", ".join(f"{k} {_plain(v)}" for k, v in value.items() if v is not None)
        case list():
            return "; ".join(map(_plain, value)) or "none"
        case _:
            return str(value)
