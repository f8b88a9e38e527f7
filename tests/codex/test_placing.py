"""The answers that the real app-server will not give on demand, from a small one that does."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentbridged.codex.client import AppServerClient
from agentbridged.codex.placing import facts, place
from agentbridged.codex.side import CodexSide
from agentbridged.errors import CodexError, ConnectionLost
from agentbridged.machines.delivery import Enqueue, LookFor, StartTurn
from tests.codex.answering import IDLE, MAIL, error, memory, side_of

pytestmark = pytest.mark.realtime


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


async def test_a_paused_queue_that_cannot_be_started_now_is_started_later(tmp_path: Path) -> None:
    def answer(request: dict[str, Any]) -> dict[str, Any]:
        if request["method"] == "thread/queue/add":
            return {"result": {"queuedSubmission": {"id": "q", "clientUserMessageId": MAIL.id}}}
        return error(-32001, "Server overloaded; retry later.")

    async with side_of(tmp_path / "s", answer) as (side, client):
        step = side.delivery.plan(replace(IDLE, interrupted=True), now=0)
        assert step == Enqueue(MAIL, kick=True)
        with pytest.raises(CodexError):
            await place(side, client, step)
        assert memory(side).states == {MAIL.id: "written"}
        assert side.delivery.plan(IDLE, now=0) == LookFor((MAIL.id,))
