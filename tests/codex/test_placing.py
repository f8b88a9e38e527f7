"""The answers that the real app-server will not give on demand, from a small one that does."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, unix_serve

from agentbridged.codex.client import AppServerClient
from agentbridged.codex.placing import facts, place
from agentbridged.codex.side import CodexSide
from agentbridged.errors import ConnectionLost, Unavailable
from agentbridged.machines.delivery import Enqueue, Facts, LookFor, Mail, StartTurn
from tests.codex.memory import Memory

pytestmark = pytest.mark.realtime

IDLE = Facts(reachable=True, thread=True)
MAIL = Mail("ab-1", "hello")
Answer = Callable[[dict[str, Any]], dict[str, Any] | None]


@asynccontextmanager
async def side_of(path: Path, answer: Answer) -> AsyncIterator[tuple[CodexSide, AppServerClient]]:
    """A side bound to thread ``t`` of an app-server that answers so; ``None``: it hangs up."""

    async def serve(connection: ServerConnection) -> None:
        async for raw in connection:
            request = json.loads(raw)
            given = answer(request)
            if given is None:
                return
            await connection.send(json.dumps({"id": request["id"], **given}))

    async with unix_serve(serve, str(path)), asyncio.TaskGroup() as group:
        client = await AppServerClient.connect(path)
        group.create_task(client.run())
        side = CodexSide(Memory(path.parent), last_thread=None)
        side.thread_id = "t"
        side.delivery.accept(MAIL)
        yield side, client
        await client.close()


def error(code: int, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


async def enqueue(side: CodexSide, client: AppServerClient) -> None:
    step = side.delivery.plan(IDLE, now=asyncio.get_running_loop().time())
    assert step == Enqueue(MAIL, kick=False)
    await place(side, client, step)


@pytest.mark.parametrize(
    "refusal",
    [
        error(-32001, "Server overloaded; retry later."),
        error(-32600, '{"reason":"serverShuttingDown"}'),
    ],
)
async def test_an_app_server_that_cannot_now_is_asked_again_later(
    tmp_path: Path, refusal: dict[str, Any]
) -> None:
    async with side_of(tmp_path / "s", lambda _: refusal) as (side, client):
        await enqueue(side, client)
        now = asyncio.get_running_loop().time()
        assert side.delivery.plan(IDLE, now=now) is None
        assert side.delivery.next_deadline(now=now) is not None
        assert side.delivery.plan(IDLE, now=now + 10) == Enqueue(MAIL, kick=False)
        assert memory(side).states == {}


async def test_a_codex_without_a_queue_gets_turns_on_its_idle_thread(tmp_path: Path) -> None:
    refusal = error(-32600, "Invalid request: unknown variant `thread/queue/add`, expected one of")
    async with side_of(tmp_path / "s", lambda _: refusal) as (side, client):
        await enqueue(side, client)
        assert not facts(side, client).has_queue
        assert side.delivery.plan(replace(IDLE, has_queue=False), now=0) == StartTurn(MAIL)


async def test_a_message_that_codex_will_never_take_fails_with_its_words(tmp_path: Path) -> None:
    async with side_of(tmp_path / "s", lambda _: error(-32602, "input_too_large")) as (
        side,
        client,
    ):
        await enqueue(side, client)
        assert memory(side).states == {"ab-1": "failed: input_too_large"}
        assert len(side.delivery) == 0


async def test_a_lost_answer_leaves_the_message_in_doubt(tmp_path: Path) -> None:
    async with side_of(tmp_path / "s", lambda _: None) as (side, client):
        with pytest.raises(ConnectionLost):
            await enqueue(side, client)
        step = side.delivery.plan(IDLE, now=0)
        assert step is not None
        assert memory(side).tried("ab-1")[0][0] == "t"


def memory(side: CodexSide) -> Memory:
    assert isinstance(side.owner, Memory)
    return side.owner


async def test_an_app_server_that_does_not_tell_leaves_the_message_in_doubt(tmp_path: Path) -> None:
    refusal = error(-32001, "Server overloaded; retry later.")
    async with side_of(tmp_path / "s", lambda _: refusal) as (side, client):
        memory(side).attempting("ab-1", "queue", "t")
        side.delivery.lost("ab-1")
        step = side.delivery.plan(IDLE, now=0)
        assert step == LookFor(("ab-1",))
        with pytest.raises(Unavailable):
            await place(side, client, step)
        assert side.delivery.plan(IDLE, now=0) == LookFor(("ab-1",))


async def test_a_thread_that_is_no_more_holds_no_message(tmp_path: Path) -> None:
    refusal = error(-32600, "thread not found: t")
    async with side_of(tmp_path / "s", lambda _: refusal) as (side, client):
        memory(side).attempting("ab-1", "queue", "t")
        side.delivery.lost("ab-1")
        loop = asyncio.get_running_loop()
        for _ in range(2):
            step = side.delivery.plan(IDLE, now=loop.time() + 9)
            assert step == LookFor(("ab-1",))
            await place(side, client, step)
        assert side.delivery.plan(IDLE, now=loop.time() + 9) == Enqueue(MAIL, kick=False)
