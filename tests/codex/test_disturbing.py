"""
Messages that meet a Codex in the middle of something: delivered once, or clearly refused.

Every kind of message to every state of a turn of the real app-server, two at a time. Afterwards a
plain message must come through, so nothing may be stuck; and what the model was shown is counted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest

from agentbridged.codex import thread as threads
from agentbridged.codex.client import AppServerClient
from agentbridged.machines import delivery
from agentbridged.machines.delivery import Mail
from agentbridged.wire import codex
from agentbridged.wire.claude import WhenBusy
from tests.codex.conftest import RealServer
from tests.codex.desk import Desk, opens_a_thread, person, types
from tests.codex.memory import Memory
from tests.lab.scripted import Json

pytestmark = [pytest.mark.realtime, pytest.mark.end_to_end]

MODES: tuple[WhenBusy, ...] = ("queue", "steer", "interrupt")
BROKEN = {"failed": "%fail it broke", "cut": "%drop 3", "refused": "%http 500"}
"""What makes the model end a turn badly."""


def told(request: Json, nonce: str) -> int:
    """Count the messages of users in which the model reads this."""
    users = (item for item in request["body"]["input"] if item.get("role") == "user")
    return sum(nonce in str(item["content"]) for item in users)


def is_told(request: Json, nonce: str) -> bool:
    return told(request, nonce) > 0


class Scene:
    """A person, a bridge's Codex side, and the thread they share."""

    def __init__(self, desk: Desk, tui: AppServerClient, client: AppServerClient) -> None:
        self.desk, self.tui, self.client = desk, tui, client
        self.owner = desk.owner
        self.model = desk.server.model
        self.thread = ""
        self.asked: list[codex.ServerRequest] = []
        tui.asked = self._ask
        self.sent: list[str] = []

    def _ask(self, request: codex.ServerRequest) -> None:
        self.asked.append(request)
        self.owner.news.set()

    async def holds(self) -> None:
        """A turn runs, and its answer stops in the middle."""
        await types(self.tui, self.thread, "%hold gate one two three four")
        await asyncio.to_thread(self.model.wait_until_held, "gate")
        await self.owner.until(lambda: self.desk.side.turns.turn_id)

    async def waits(self) -> None:
        """A turn runs that waits for the person's approval."""
        await types(self.tui, self.thread, "%esc true")
        await self.owner.until(lambda: self.desk.side.turns.waiting and self.asked)

    async def decline(self) -> None:
        await self.tui.answer(self.asked[-1].id, {"decision": "decline"})

    async def breaks(self, how: str) -> None:
        """A turn ended badly."""
        await types(self.tui, self.thread, BROKEN[how])
        await self.owner.until(lambda: "failed" in self.owner.ended)

    async def stops(self) -> None:
        """The person stops the running turn."""
        turn = self.desk.side.turns.turn_id
        assert turn is not None
        await threads.interrupt(self.tui, self.thread, turn)
        await self.owner.until(lambda: "interrupted" in self.owner.ended)

    def send(self, mode: WhenBusy, count: int = 2) -> None:
        for _ in range(count):
            number = len(self.sent)
            self.sent.append(f"ab-{number}")
            self.desk.send(f"ab-{number}", f"NONCE{number}.", when_busy=mode)

    async def settle(self) -> None:
        """All is delivered once: a later plain message comes through, and nothing comes twice."""
        await self.owner.until(lambda: all(id in self.owner.states for id in self.sent))
        self.desk.send("ab-end", "THE-END", when_busy="queue")
        await self.owner.until(lambda: "ECHO: THE-END" in self.owner.pushed())
        # A queue that was paused may have let the latest pass first.
        await self.owner.until(lambda: {self.owner.states[id] for id in self.sent} == {"consumed"})
        seen = [
            item.clientId
            for turn in await threads.turns_since(self.tui, self.thread, "")
            for item in turn.items
            if item.clientId
        ]
        assert sorted(seen) == sorted([*self.sent, "ab-end"])
        for number, _ in enumerate(self.sent):
            nonce = f"NONCE{number}."
            reads = partial(is_told, nonce=nonce)
            await asyncio.to_thread(self.model.wait_for, reads, f"the model reads {nonce}")
            assert {told(request, nonce) for request in self.model.requests()} <= {0, 1}
        assert not self.desk.side.turns.waiting


@asynccontextmanager
async def scene(server: RealServer) -> AsyncIterator[Scene]:
    owner = Memory(server.project)
    desk = Desk(server, owner)
    async with desk.running() as client, person(server) as tui:
        made = Scene(desk, tui, client)
        made.thread = await opens_a_thread(tui, server)
        await owner.until(lambda: made.thread in owner.cursors)
        try:
            yield made
        finally:
            server.model.release("gate")


@pytest.mark.requirement("T2")
@pytest.mark.parametrize("mode", MODES)
async def test_a_running_turn(app_server: RealServer, mode: WhenBusy) -> None:
    async with scene(app_server) as it:
        await it.holds()
        it.send(mode)
        if mode == "queue":
            await it.owner.until(lambda: len(it.owner.states) == 2)
            app_server.model.release("gate")
        await it.settle()


@pytest.mark.requirement("T2")
@pytest.mark.parametrize("mode", MODES)
async def test_a_turn_that_is_just_ending(app_server: RealServer, mode: WhenBusy) -> None:
    async with scene(app_server) as it:
        await it.holds()
        app_server.model.release("gate")
        it.send(mode)
        await it.settle()


@pytest.mark.requirement("T2")
@pytest.mark.parametrize("mode", MODES)
async def test_a_turn_that_waits_for_a_person(app_server: RealServer, mode: WhenBusy) -> None:
    async with scene(app_server) as it:
        await it.waits()
        it.send(mode)
        if mode != "interrupt":
            await it.owner.until(lambda: len(it.owner.states) == 2)
            await it.decline()
        await it.settle()


@pytest.mark.requirement("T1", "T2")
@pytest.mark.parametrize("how", BROKEN)
@pytest.mark.parametrize("mode", MODES)
async def test_a_turn_that_failed(app_server: RealServer, mode: WhenBusy, how: str) -> None:
    async with scene(app_server) as it:
        await it.breaks(how)
        it.send(mode)
        await it.settle()


@pytest.mark.requirement("T2")
@pytest.mark.parametrize("at_once", [True, False])
async def test_a_steered_turn_that_the_person_stops(app_server: RealServer, at_once: bool) -> None:
    async with scene(app_server) as it:
        await it.holds()
        it.send("steer", 1)
        if not at_once:
            await it.owner.until(lambda: it.owner.states)
        await it.stops()
        await it.settle()


@pytest.mark.requirement("T2")
async def test_a_turn_that_waits_and_was_steered_is_stopped_by_the_person(
    app_server: RealServer,
) -> None:
    async with scene(app_server) as it:
        await it.waits()
        it.send("steer", 1)
        await it.owner.until(lambda: it.owner.states)
        await it.stops()
        await it.settle()


@pytest.mark.requirement("T1", "T2")
async def test_a_turn_of_our_own_that_the_person_stops_before_it_showed_anything(
    app_server: RealServer,
) -> None:
    async with scene(app_server) as it:
        started: list[str] = []

        def stop(event: codex.Event) -> None:
            it.desk.hub.heard(event)
            it.owner.news.set()
            if isinstance(event, codex.TurnStarted):
                started.append(event.turn.id)

        it.client.heard = stop
        it.send("queue", 2)
        await it.owner.until(lambda: started)
        await threads.interrupt(it.tui, it.thread, started[0])
        await it.owner.until(lambda: "interrupted" in it.owner.ended)
        await it.settle()


@pytest.mark.requirement("T1")
@pytest.mark.parametrize("mode", MODES)
async def test_a_turn_whose_end_was_never_heard_of(app_server: RealServer, mode: WhenBusy) -> None:
    async with scene(app_server) as it:
        await it.holds()
        ended = asyncio.Event()

        def lose(event: codex.Event) -> None:
            if isinstance(event, codex.TurnCompleted):
                ended.set()
            elif not (isinstance(event, codex.ThreadStatusChanged) and not ended.is_set()):
                it.desk.hub.heard(event)
                it.owner.news.set()

        it.client.heard = lose
        app_server.model.release("gate")
        async with asyncio.timeout(30):
            await ended.wait()
        assert it.desk.side.turns.active
        it.client.heard = it.desk.hear
        it.send(mode)
        await it.settle()
        assert not it.desk.side.turns.active


@pytest.mark.requirement("T2")
async def test_an_interrupt_whose_end_is_never_heard_of_is_refused_and_injects_nothing(
    app_server: RealServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "INTERRUPT_PATIENCE", 1.0)
    async with scene(app_server) as it:
        await it.holds()

        def lose(event: codex.Event) -> None:
            if not isinstance(event, codex.TurnCompleted | codex.ThreadStatusChanged):
                it.desk.hub.heard(event)

        it.client.heard = lose
        it.send("interrupt", 1)
        await it.owner.until(lambda: it.owner.states)
        assert it.owner.states["ab-0"].startswith("failed: the running turn did not end")
        it.client.heard = it.desk.hear
        it.desk.send("ab-end", "THE-END", when_busy="steer")
        await it.owner.until(lambda: "ECHO: THE-END" in it.owner.pushed())
        assert not any(is_told(request, "NONCE0.") for request in app_server.model.requests())


@pytest.mark.requirement("T2", "C5")
@pytest.mark.parametrize("stopped", [True, False], ids=["stopped", "goes on"])
async def test_a_steered_turn_on_a_thread_that_the_person_left(
    app_server: RealServer, stopped: bool
) -> None:
    async with scene(app_server) as it:
        await it.waits()
        it.send("steer", 1)
        await it.owner.until(lambda: it.owner.states)
        left, turn = it.thread, it.desk.side.turns.turn_id
        assert turn is not None
        it.owner.owing[left] = time.time()
        it.owner.taken_once.append(Mail("ab-0", "NONCE0.", doubtful=True, steered=True))
        it.thread = await opens_a_thread(it.tui, app_server)
        await it.owner.until(lambda: it.thread in it.owner.cursors)
        if stopped:
            await threads.interrupt(it.tui, left, turn)
        else:
            it.desk.send("ab-next", "NEXT", when_busy="queue")
            await it.owner.until(lambda: "ECHO: NEXT" in it.owner.pushed())
            await it.decline()
        await it.owner.until(lambda: it.owner.states["ab-0"] == "consumed")
        reads = partial(is_told, nonce="NONCE0.")
        await asyncio.to_thread(it.model.wait_for, reads, "the model reads it")
        it.desk.send("ab-end", "THE-END", when_busy="queue")
        await it.owner.until(lambda: "ECHO: THE-END" in it.owner.pushed())
        seen = [
            item.clientId
            for thread in (left, it.thread)
            for turn in await threads.turns_since(it.tui, thread, "")
            for item in turn.items
        ]
        assert seen.count("ab-0") == 1
