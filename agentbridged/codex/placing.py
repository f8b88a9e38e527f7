"""
Perform one step of a delivery, and report what came of it to the machine and the owner.

The ladder to Codex: its own queue; a steer or an interrupt where the sender asked for one; a plain
turn on an idle thread where the queue is missing. An error answer means that nothing was done, a
lost answer that it may have been.
"""

from __future__ import annotations

import asyncio
import logging
from typing import assert_never

from agentbridged.codex import thread as threads
from agentbridged.codex.client import AppServerClient
from agentbridged.codex.looking import Side, is_for_now, look_for
from agentbridged.errors import CodexError, CodexLacks, ConnectionLost, ProtocolError, Refused
from agentbridged.machines import delivery
from agentbridged.machines.delivery import Mail
from agentbridged.wire import codex

log = logging.getLogger(__name__)


def facts(side: Side, client: AppServerClient) -> delivery.Facts:
    """Return what a plan needs to know of the thread as it is now."""
    return delivery.Facts(
        reachable=side.reachable and side.owner.delivering(),
        thread=side.thread_id is not None,
        active=side.turns.active,
        turn_id=side.turns.turn_id,
        interrupted=side.turns.interrupted,
        opened=side.turns.opened,
        swallowed=side.turns.swallowed,
        has_queue=not client.degradations.lacks("thread/queue/add"),
    )


async def place(side: Side, client: AppServerClient, step: delivery.Step) -> None:
    """Do the step; raises :exc:`ConnectionLost` when the app-server went away meanwhile."""
    match step:
        case delivery.GiveUp(id, reason):
            side.owner.failed(id, reason)
        case delivery.LookFor(ids):
            await look_for(side, client, ids)
        case delivery.StartThread(id):
            await _start_thread(side, client, id)
        case delivery.Enqueue(mail, kick):
            await _enqueue(side, client, mail, kick=kick)
        case delivery.StartTurn(mail):
            await _send(side, client, mail, "start")
        case delivery.Steer(mail, turn_id):
            await _disturb(side, client, mail, "steer", turn_id)
        case delivery.Interrupt(mail, turn_id):
            await _disturb(side, client, mail, "interrupt", turn_id)
        case unreachable:
            assert_never(unreachable)


async def interrupt(side: Side, client: AppServerClient) -> str | None:
    """
    Interrupt the running turn; returns its id, or ``None`` when nothing runs.

    Raises :exc:`Refused` when this Codex has no way to do it.
    """
    turn_id = side.turns.turn_id
    if side.thread_id is None or turn_id is None:
        return None
    try:
        await threads.interrupt(client, side.thread_id, turn_id)
    except CodexLacks as error:
        raise Refused(f"this Codex cannot be interrupted: {error}", kind="codex") from error
    except CodexError:
        await side.refresh(client)
        return None
    return turn_id


async def _start_thread(side: Side, client: AppServerClient, id: str) -> None:
    try:
        started = await threads.start(client, side.owner.root)
        side.binding.opened(started.id)
    except CodexError as error:
        _judge(side, id, error)
    finally:
        side.delivery.thread_started(id)


async def _enqueue(side: Side, client: AppServerClient, mail: Mail, *, kick: bool) -> None:
    thread_id = side.thread_id
    assert thread_id is not None
    side.owner.attempting(mail.id, "kick" if kick else "queue", thread_id)
    try:
        entry = await threads.enqueue(client, thread_id, mail.id, mail.text)
    except CodexLacks as error:
        side.delivery.unknown_queue(mail.id)
        side.owner.turned_away(mail.id, "queue", str(error))
        return
    except CodexError as error:
        _judge(side, mail.id, error)
        return
    except (ConnectionLost, ProtocolError) as error:
        _doubt(side, mail.id, error)
        return
    side.delivery.placed(mail.id)
    side.owner.placed(mail.id, "queue", thread_id)
    if kick:
        await _kick(side, client, thread_id, mail, entry)


async def _kick(
    side: Side, client: AppServerClient, thread_id: str, mail: Mail, entry: str
) -> None:
    """Start the paused queue: at what came into it before, unless this one was to interrupt."""
    try:
        first = entry if mail.when_busy == "interrupt" else await _head(client, thread_id)
        await threads.start_queued(client, thread_id, first or entry)
    except CodexError:  # overloaded: once it is found there, the queue is started again
        side.delivery.doubt(mail)
        raise


async def _head(client: AppServerClient, thread_id: str) -> str | None:
    try:
        return next(iter((await threads.queued(client, thread_id)).values()), None)
    except CodexError as error:
        if error.code == codex.OVERLOADED:
            raise
        return None


async def _send(side: Side, client: AppServerClient, mail: Mail, step: str) -> None:
    thread_id = side.thread_id
    assert thread_id is not None
    side.owner.attempting(mail.id, step, thread_id)
    try:
        turn_id = await threads.start_turn(client, thread_id, mail.id, mail.text)
    except CodexError as error:
        _judge(side, mail.id, error)
    except (ConnectionLost, ProtocolError) as error:
        _doubt(side, mail.id, error, steered=True)
    else:
        # Its first news may come later: the next message must not steer it meanwhile.
        side.turns.begun(turn_id)
        side.delivery.steered(mail.id)
        side.owner.placed(mail.id, step, thread_id)


async def _disturb(
    side: Side, client: AppServerClient, mail: Mail, step: str, turn_id: str
) -> None:
    """Steer the running turn, or interrupt it; where it runs no more, read the truth afresh."""
    thread_id = side.thread_id
    assert thread_id is not None
    try:
        if step == "interrupt":
            await threads.interrupt(client, thread_id, turn_id)
            side.delivery.interrupted(mail.id)
            return
        side.owner.attempting(mail.id, step, thread_id)
        await threads.steer(client, thread_id, turn_id, mail.id, mail.text)
    except CodexError as error:
        if error.code == codex.OVERLOADED:
            _judge(side, mail.id, error)
            return
        side.owner.turned_away(mail.id, step, str(error))
        side.delivery.not_active(mail.id)
        await _refresh(side, client)
    except (ConnectionLost, ProtocolError) as error:
        _doubt(side, mail.id, error, steered=step == "steer")
    else:
        side.delivery.steered(mail.id)
        side.owner.placed(mail.id, step, thread_id)


async def _refresh(side: Side, client: AppServerClient) -> None:
    try:
        await side.refresh(client)
    except (CodexError, ProtocolError) as error:
        log.info("thread %s cannot be read; resuming it anew: %s", side.thread_id, error)
        side.leave()


def _doubt(side: Side, id: str, error: Exception, *, steered: bool = False) -> None:
    side.delivery.lost(id, steered=steered)
    raise ConnectionLost(f"it is not known whether message {id} arrived: {error}") from error


_AWAY = ("thread not found", "not loaded", "no rollout", codex.ARCHIVED)
"""In the answers for a thread that is not there now; it is left, and the message waits."""


def _judge(side: Side, id: str, error: CodexError) -> None:
    """An error answer: later, or never."""
    text = str(error)
    now = asyncio.get_running_loop().time()
    if is_for_now(error):
        side.delivery.later(id, now=now)
    elif any(words in text for words in _AWAY):
        side.leave()
        side.delivery.later(id, now=now)
    else:
        side.delivery.refused(id)
        side.owner.failed(id, text)
