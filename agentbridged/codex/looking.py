"""
Look for messages that may be there already, before any of them is sent again.

In each thread where one was tried: in the queue, in the turns, and at last in what the thread's
own file holds and no turn shows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from agentbridged.codex import rollout
from agentbridged.codex import thread as threads
from agentbridged.codex.client import AppServerClient
from agentbridged.codex.owner import Owner
from agentbridged.errors import CodexError, CodexLacks, ProtocolError, Unavailable
from agentbridged.machines.binding import Binding
from agentbridged.machines.degradation import NOT_YET
from agentbridged.machines.delivery import Delivery
from agentbridged.machines.turns import Turns
from agentbridged.wire import codex

SLACK = 60.0
"""Seconds by which a turn may look older than the message that it shows."""
THREAD_FILE = "thread.path"
"""What an app-server lacks whose threads' files cannot be read."""


class Side(Protocol):
    """The bridge's Codex side, as far as a step needs it."""

    owner: Owner
    delivery: Delivery
    binding: Binding
    turns: Turns
    thread_id: str | None

    @property
    def reachable(self) -> bool:
        """Whether the app-server is connected."""

    def wake(self) -> None:
        """Look what is to be done."""

    def leave(self) -> None:
        """Let go of the bound thread."""

    async def refresh(self, client: AppServerClient) -> None:
        """Read afresh what the thread does."""


@dataclass
class Seen:
    """Where messages in doubt are; what is in none of these is missing."""

    queued: set[str] = field(default_factory=set)
    shown: set[str] = field(default_factory=set)
    """In a turn."""
    left: set[str] = field(default_factory=set)
    """Perhaps in a running turn, as a rule of a thread that was left."""


async def look_for(side: Side, client: AppServerClient, ids: tuple[str, ...]) -> None:
    """Look for these, and report; raises :exc:`Unavailable` when nothing can be told now."""
    tried: dict[str, dict[str, float]] = {}
    for id in ids:
        for thread_id, at in side.owner.tried(id):
            tried.setdefault(thread_id, {})[id] = at
    seen, recalls = Seen(), side.delivery.recalls
    for thread_id, since in tried.items():
        await _look_in(side, client, thread_id, since, seen)
    opened = side.turns.opened or not side.turns.active
    now = asyncio.get_running_loop().time()
    # Where a turn ended meanwhile, what it might have shown is looked for once more.
    overtaken = seen.left if recalls != side.delivery.recalls else set()
    asked = tuple(id for id in ids if id not in seen.queued | overtaken)
    side.delivery.looked(asked, seen.shown, left=seen.left, opened=opened, now=now)
    if seen.left:
        side.wake()  # their threads are to be heard


async def _look_in(
    side: Side, client: AppServerClient, thread_id: str, since: dict[str, float], seen: Seen
) -> None:
    """Look in one thread for what was tried there, each since then, and is not found elsewhere."""

    def missing() -> set[str]:
        return since.keys() - seen.queued - seen.shown

    if missing():
        await _look_in_queue(side, client, thread_id, missing(), seen)
    if not missing():
        return
    # Before its turns: a status may be older than they are, and is never newer.
    thread = await _glance(client, thread_id)
    try:
        earliest = min(since.values()) - SLACK
        newest = await _look_in_turns(side, client, thread_id, earliest, missing(), seen)
    except CodexError as error:
        _must_be_absence(error)
        return
    if thread is not None and thread.path and missing():
        await _look_in_file(side, client, thread, missing(), seen)
    if newest is None or newest.ended or not (thread is None or thread.active):
        return
    # Where nothing is owed it was found missing, and was tried elsewhere since.
    if thread_id == side.thread_id or thread_id in side.owner.unsettled():
        begins = not newest.items and thread_id != side.thread_id  # else *opened* tells
        seen.left |= {id for id in missing() if begins or side.delivery.is_steered(id)}


async def _look_in_turns(
    side: Side,
    client: AppServerClient,
    thread_id: str,
    earliest: float,
    ids: Collection[str],
    seen: Seen,
) -> codex.Turn | None:
    """See which are shown by the thread's turns; returns the newest of them."""
    newest: codex.Turn | None = None
    async for turn in threads.recent(client, thread_id, earliest):
        newest = newest or turn
        for id in {item.clientId for item in turn.items if item.clientId in ids}:
            assert id is not None
            side.owner.placed(id, "queue", thread_id)
            side.owner.taken(id, turn.id)
            seen.shown.add(id)
    return newest


async def _look_in_queue(
    side: Side, client: AppServerClient, thread_id: str, ids: Collection[str], seen: Seen
) -> None:
    """See which are in the thread's queue, and start it where that was to be done."""
    try:
        entries = await threads.queued(client, thread_id)
    except CodexLacks:
        return  # it may be in a turn, but not in a queue that this Codex does not tell of
    except CodexError as error:
        _must_be_absence(error)
        return
    here = entries.keys() & ids
    # Of another thread it is not known here whether a turn runs; if so, Codex refuses.
    may_wait = thread_id != side.thread_id or not side.turns.active
    if may_wait and any(side.owner.kicked(id) for id in here):
        await threads.start_queued(client, thread_id, next(iter(entries.values())))
    for id in here:
        seen.queued.add(id)
        side.delivery.placed(id)
        side.owner.placed(id, "queue", thread_id)


async def _look_in_file(
    side: Side, client: AppServerClient, thread: codex.Thread, ids: Collection[str], seen: Seen
) -> None:
    """See which were written into the history, and are shown by no turn."""
    assert thread.path is not None
    try:
        found = rollout.turns_with(Path(thread.path), ids)
    except OSError as error:
        client.note_misread(THREAD_FILE, f"it cannot be read: {error}")
        return
    for id, turn_id in found.items():
        # Its turn may have begun after the listing; one that is in none is over and taken back.
        turn = await threads.find(client, thread.id, turn_id) if turn_id else None
        turn = turn or codex.Turn(turn_id, "interrupted")
        cut = turn.ended and id not in {item.clientId for item in turn.items}
        side.owner.noted(id, thread.id, turn, cut=cut)
        seen.shown.add(id)


async def _glance(client: AppServerClient, thread_id: str) -> codex.Thread | None:
    """Read what a thread does and where its file is; ``None`` when that cannot be told."""
    try:
        return await threads.read(client, thread_id)
    except ProtocolError:
        return None
    except CodexError as error:
        if is_for_now(error):
            raise _untold(error) from error
        return None


def is_for_now(error: CodexError) -> bool:
    """Whether an error answer means: not now, ask again later."""
    text = str(error)
    return error.code == codex.OVERLOADED or "serverShuttingDown" in text or "shutting down" in text


def _must_be_absence(error: CodexError) -> None:
    """
    Pass over an error that says there is no such thread or history, or that it was put away.

    Any other leaves the message in doubt, and raises :exc:`Unavailable`: it is looked for again.
    """
    if isinstance(error, CodexLacks) or not any(words in str(error) for words in _ABSENT):
        raise _untold(error) from error


def _untold(error: CodexError) -> Unavailable:
    return Unavailable(f"the app-server does not tell what it has: {error}")


_ABSENT = (
    *("not found", "no rollout", "not loaded", "no such"),
    *("missing source rollout", "failed to read session metadata"),  # its file is gone, or garbled
    *(NOT_YET, "not materialized", codex.ARCHIVED),
)
"""In the answers for a thread that is none, or whose history or queue is not to be had."""
