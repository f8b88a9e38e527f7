"""What a real Codex is told of a pause, and that it is never a turn."""

from __future__ import annotations

import asyncio
import json

import pytest

from agentbridged.codex import note
from agentbridged.codex.client import AppServerClient
from agentbridged.errors import CodexError, ConnectionLost
from tests.codex.conftest import RealServer
from tests.codex.desk import Desk, opens_a_thread, person, types
from tests.codex.memory import Memory


class Server:
    """An app-server that was asked to inject, and fails as a test says."""

    def __init__(self, *faults: Exception) -> None:
        self.faults = list(faults)
        self.told: list[str] = []

    async def call(self, method: str, params: dict[str, object], kind: object) -> None:
        assert method == "thread/inject_items"
        self.told.append(json.dumps(params["items"]))
        if self.faults:
            raise self.faults.pop(0)


async def give(told: note.Note, server: Server) -> None:
    await told.give(server, "th")  # type: ignore[arg-type]  # all of a client that it needs


async def test_each_change_is_told_once() -> None:
    told, server = note.Note(paused=False), Server()
    for paused in (True, True, False, False):
        told.paused = paused
        await give(told, server)
    assert [note.PAUSED in text for text in server.told] == [True, False]
    assert [note.ACTIVE in text for text in server.told] == [False, True]


async def test_a_pause_that_ends_before_it_could_be_told_is_never_told() -> None:
    told, server = note.Note(paused=False), Server()
    told.paused = True
    told.paused = False
    await give(told, server)
    assert server.told == []


async def test_a_pause_from_before_our_start_is_not_told_again_and_its_end_is() -> None:
    told, server = note.Note(paused=True), Server()
    await give(told, server)
    assert server.told == []
    told.paused = False
    await give(told, server)
    assert len(server.told) == 1


async def test_what_may_have_been_heard_is_not_repeated() -> None:
    told, server = note.Note(paused=False), Server(ConnectionLost("cut"))
    told.paused = True
    with pytest.raises(ConnectionLost):
        await give(told, server)
    await give(told, server)
    assert len(server.told) == 1


async def test_a_codex_that_cannot_be_told_is_left_alone() -> None:
    told, server = note.Note(paused=False), Server(CodexError(-32600, "unknown variant"))
    told.paused = True
    await give(told, server)
    await give(told, server)
    assert len(server.told) == 1


class Given(note.Note):
    """A note of which a test knows when it was given."""

    def __init__(self) -> None:
        super().__init__(paused=False)
        self.given = asyncio.Event()

    async def give(self, client: AppServerClient, thread_id: str) -> None:
        await super().give(client, thread_id)
        if self.paused:
            self.given.set()


@pytest.mark.realtime
@pytest.mark.end_to_end
async def test_a_busy_codex_is_told_after_its_turn_and_its_model_knows_in_the_next(
    app_server: RealServer,
) -> None:
    owner = Memory(app_server.project)
    desk = Desk(app_server, owner)
    desk.side.note = told = Given()
    async with desk.running(), person(app_server) as tui:
        thread_id = await opens_a_thread(tui, app_server)
        await owner.until(lambda: thread_id in owner.cursors)
        await types(tui, thread_id, "%hold busy one two three four")
        await asyncio.to_thread(app_server.model.wait_until_held, "busy")
        await owner.until(lambda: desk.side.turns.active)
        told.paused = True
        desk.side.wake()
        app_server.model.release("busy")
        await owner.until(lambda: owner.pushed() == ["one two three four"])
        async with asyncio.timeout(30):
            await told.given.wait()
        turns = len(app_server.model.requests())
        await types(tui, thread_id, "and now")
        asked = await asyncio.to_thread(app_server.model.wait_for_prompt, "and now")
        said = json.dumps(asked["body"]["input"])
        assert said.count(json.dumps(note.PAUSED)[1:-1]) == 1
        assert len(app_server.model.requests()) == turns + 1
        assert owner.words == 2
