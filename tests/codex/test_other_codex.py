"""An older or a newer Codex: what it lacks is told, and everything else goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agentbridged.codex.client import AppServerClient
from agentbridged.errors import CodexLacks, Refused
from agentbridged.machines.delivery import Mail
from agentbridged.wire import codex
from tests.codex.conftest import RealServer
from tests.codex.desk import Desk, away_after, opens_a_thread, person, said, types
from tests.codex.memory import Memory
from tests.fakes.other_codex import OtherCodex, unknown
from tests.lab.scripted import Json

pytestmark = [pytest.mark.realtime, pytest.mark.end_to_end]


class Behind(RealServer):
    """The other Codex in front of a real one."""

    @property
    def socket(self) -> Path:
        return self.home / "other.sock"


def behind(server: RealServer) -> Behind:
    return Behind(server.home, server.project, server.model)


@asynccontextmanager
async def bridged(
    server: RealServer, other: OtherCodex, owner: Memory, last: str | None = None
) -> AsyncIterator[tuple[Desk, AppServerClient, AppServerClient, str]]:
    """A desk at the other Codex, a person at the real one with a thread that the desk follows."""
    front = behind(server)
    async with other.serving(front.socket, server.socket):
        desk = Desk(front, owner, last)
        async with desk.running() as client, person(server) as tui:
            thread_id = await opens_a_thread(tui, server)
            await owner.until(lambda: thread_id in owner.cursors)
            yield desk, client, tui, thread_id


def lacks(client: AppServerClient) -> list[str]:
    return [lack.method for lack in client.degradations.all()]


async def test_the_other_codex_answers_what_it_lacks_as_the_real_one_does(
    app_server: RealServer,
) -> None:
    async with person(app_server) as client:
        for method in ("thread/queue/addd", "turn/steeer"):
            with pytest.raises(CodexLacks) as refusal:
                await client.call(method, {}, dict)
            assert refusal.value.code == unknown(method)["code"]
            assert str(refusal.value) == unknown(method)["message"].partition(", expected")[0]
        for params in ({}, {"threadId": "t", "input": 7, "clientUserMessageId": "ab-1"}):
            with pytest.raises(CodexLacks):
                await client.call("thread/queue/add", params, dict)
        assert lacks(client) == ["thread/queue/addd", "turn/steeer", "thread/queue/add"]


async def test_the_codex_that_we_know_lacks_nothing(app_server: RealServer) -> None:
    owner = Memory(app_server.project)
    async with bridged(app_server, OtherCodex(), owner) as (desk, client, _, _):
        desk.send("ab-1", "how are you")
        await owner.until(owner.pushed)
        assert await desk.side.interrupt() is None
        assert lacks(client) == []
        assert client.version == codex.MEASURED


@pytest.mark.parametrize(
    "other",
    [
        OtherCodex(lacking={"thread/queue/add", "thread/queue/list", "thread/queue/start"}),
        OtherCodex(plain=True),
    ],
)
async def test_without_the_queue_a_message_starts_a_turn_and_never_disturbs_one(
    app_server: RealServer, other: OtherCodex
) -> None:
    owner = Memory(app_server.project)
    async with bridged(app_server, other, owner) as (desk, client, tui, thread_id):
        await types(tui, thread_id, "%hold gate STREAMED one two three END")
        await asyncio.to_thread(app_server.model.wait_until_held, "gate")
        await owner.until(lambda: desk.side.turns.active)
        for number in (1, 2, 3):
            desk.send(f"ab-{number}", f"line {number}")
        await owner.until(lambda: bool(owner.turned))
        assert owner.states == {}
        app_server.model.release("gate")
        await owner.until(lambda: len(owner.pushed()) == 4)
        assert owner.pushed() == [
            "STREAMED one two three END",
            *(f"ECHO: line {n}" for n in (1, 2, 3)),
        ]
        assert set(owner.states.values()) == {"consumed"}
        assert lacks(client) == ["thread/queue/add"]
        assert ("ab-1", "queue") in [turned[:2] for turned in owner.turned]


async def test_without_the_queue_a_message_in_doubt_is_found_in_the_turns(
    app_server: RealServer,
) -> None:
    owner = Memory(app_server.project)
    other = OtherCodex(lacking={"thread/queue/add", "thread/queue/list", "thread/turns/list"})
    async with bridged(app_server, other, owner) as (desk, client, tui, thread_id):
        owner.ours.add("ab-1")
        owner.attempting("ab-1", "start", thread_id)
        params = {
            "threadId": thread_id,
            "input": codex.text_input("once"),
            "clientUserMessageId": "ab-1",
        }
        await tui.call("turn/start", params, dict)
        await owner.until(owner.pushed)
        desk.side.delivery.doubt(Mail("ab-1", "once"))
        desk.send("ab-2", "and then this")
        await owner.until(lambda: "ECHO: and then this" in owner.pushed())
        assert len(app_server.model.prompts("once")) == 1
        assert set(lacks(client)) == other.lacking


async def test_a_steer_that_this_codex_takes_otherwise_waits_for_the_turns_end(
    app_server: RealServer,
) -> None:
    owner = Memory(app_server.project)
    refusal = {"code": -32602, "message": "Invalid params: expectedTurn is required"}
    other = OtherCodex(refusing={"turn/steer": refusal}, lacking={"turn/interrupt"})
    async with bridged(app_server, other, owner) as (desk, client, tui, thread_id):
        await types(tui, thread_id, "%hold gate STREAMED one two three END")
        await asyncio.to_thread(app_server.model.wait_until_held, "gate")
        await owner.until(lambda: desk.side.turns.turn_id)
        desk.send("ab-1", "also this", when_busy="steer")
        await owner.until(lambda: owner.states.get("ab-1") == "written")
        with pytest.raises(Refused, match="cannot be interrupted"):
            await desk.side.interrupt()
        app_server.model.release("gate")
        await owner.until(lambda: len(owner.pushed()) == 2)
        assert owner.pushed() == ["STREAMED one two three END", "ECHO: also this"]
        assert lacks(client) == ["turn/steer", "turn/interrupt"]
        assert owner.turned[0][:2] == ("ab-1", "steer")


async def test_a_codex_whose_history_cannot_be_paged_is_read_whole(app_server: RealServer) -> None:
    owner = Memory(app_server.project)
    async with away_after(app_server, owner, "zero") as (tui, thread_id):
        await said(tui, thread_id, "while we were away")
        other = OtherCodex(lacking={"thread/turns/list", "thread/loaded/list"})
        front = behind(app_server)
        async with other.serving(front.socket, app_server.socket):
            desk = Desk(front, owner, thread_id)
            async with desk.running() as client:
                # Nothing told of the thread until now, when it is used again.
                await types(tui, thread_id, "and now")
                await owner.until(lambda: len(owner.pushed()) == 3)
                assert set(lacks(client)) == {"thread/turns/list", "thread/loaded/list"}
        assert owner.pushed()[:2] == ["ECHO: zero", "ECHO: while we were away"]


async def test_a_codex_that_injects_nothing_has_a_thread_started_all_the_same(
    app_server: RealServer,
) -> None:
    owner = Memory(app_server.project)
    other = OtherCodex(lacking={"thread/inject_items"})
    front = behind(app_server)
    async with other.serving(front.socket, app_server.socket):
        desk = Desk(front, owner)
        desk.send("ab-1", "hello", start_thread=True)
        async with desk.running() as client:
            await owner.until(owner.pushed)
            assert owner.pushed() == ["ECHO: hello"]
            assert lacks(client) == ["thread/inject_items"]


@pytest.mark.parametrize(
    "other",
    [
        OtherCodex(renamed={"item/completed": "item/done"}),
        OtherCodex(reshaped={"item/completed": {"item": "of another kind"}}),
    ],
)
async def test_what_a_newer_codex_does_not_tell_is_read_back_at_the_turns_end(
    app_server: RealServer, other: OtherCodex
) -> None:
    owner = Memory(app_server.project)
    async with bridged(app_server, other, owner) as (desk, client, tui, thread_id):
        desk.send("ab-1", "first")
        await owner.until(owner.pushed)
        await types(tui, thread_id, "second")
        await owner.until(lambda: len(owner.pushed()) == 2)
        assert owner.pushed() == ["ECHO: first", "ECHO: second"]
        assert owner.states == {"ab-1": "consumed"}
        assert lacks(client) == ["item/completed"]


async def test_a_newer_codex_with_more_of_everything_is_taken_as_it_is(
    app_server: RealServer,
) -> None:
    owner = Memory(app_server.project)
    more = {"newMember": {"deep": [1]}, "kind": "another"}
    other = OtherCodex(
        reshaped=dict.fromkeys(
            ["item/completed", "turn/completed", "thread/status/changed", "thread/resume"], more
        ),
        version="9.0.0",
    )
    async with bridged(app_server, other, owner) as (desk, client, _, _):
        desk.send("ab-1", "how are you")
        await owner.until(owner.pushed)
        assert (client.version, lacks(client)) == ("9.0.0", [])


async def test_a_codex_that_refuses_a_client_of_experiments_is_joined_without_them(
    app_server: RealServer,
) -> None:
    owner = Memory(app_server.project)
    refusal = {"code": -32600, "message": "experimentalApi is off here"}
    other = OneRefusal(refusing={"initialize": refusal})
    async with bridged(app_server, other, owner) as (desk, client, _, _):
        desk.send("ab-1", "how are you")
        await owner.until(owner.pushed)
        assert lacks(client) == ["initialize", "thread/queue/add"]


class OneRefusal(OtherCodex):
    """Refuses the experimental API, and nobody else."""

    def _refusal(self, message: Json, methods: dict[Any, str]) -> Json | None:
        capabilities = message.get("params", {}).get("capabilities", {})
        plain = capabilities.get("experimentalApi") is False
        return None if plain else super()._refusal(message, methods)
