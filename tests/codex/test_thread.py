import asyncio

import pytest

from agentbridged.codex import thread as threads
from agentbridged.errors import CodexError
from agentbridged.wire import codex
from tests.codex.conftest import RealServer
from tests.codex.desk import heard_by, opens_a_thread, person

pytestmark = [pytest.mark.realtime, pytest.mark.end_to_end]


@pytest.mark.requirement("C6")
async def test_a_thread_without_a_turn_is_materialised_and_subscribed(
    app_server: RealServer,
) -> None:
    async with person(app_server) as tui, person(app_server) as ours:
        thread_id = await opens_a_thread(tui, app_server)
        subscription = await threads.subscribe(ours, thread_id)
        assert subscription.thread.cwd == str(app_server.project)
        assert subscription.cursor == ""
        await threads.enqueue(ours, thread_id, "ab-1", "hello there")
        turn = await heard_by(ours).turn_end()
        assert turn.status == "completed"
        (message,) = [
            e.item
            for e in heard_by(ours).events
            if isinstance(e, codex.ItemCompleted) and e.item.type == "userMessage"
        ]
        assert (message.clientId, message.said) == ("ab-1", "hello there")


async def test_missed_turns_are_read_back_after_the_cursor_in_order(
    app_server: RealServer,
) -> None:
    async with person(app_server) as client:
        thread_id = (await threads.start(client, app_server.project)).id
        for number in (1, 2, 3):
            await threads.enqueue(client, thread_id, f"ab-{number}", f"%final answer {number}")
            await heard_by(client).turn_end(number)
        first = (await threads.turns_since(client, thread_id, ""))[0]
        missed = await threads.turns_since(client, thread_id, first.cursor)
        said = [i.text for turn in missed for i in turn.items if i.type == "agentMessage"]
        assert said == ["answer 2", "answer 3"]
        assert all(turn.ended for turn in missed)
        newest = (await threads.subscribe(client, thread_id)).cursor
        assert await threads.turns_since(client, thread_id, newest) == []


async def test_a_cursor_of_a_turn_that_was_taken_back_does_not_bring_all_the_past(
    app_server: RealServer,
) -> None:
    async with person(app_server) as client:
        thread_id = (await threads.start(client, app_server.project)).id
        await threads.enqueue(client, thread_id, "ab-1", "hello")
        await heard_by(client).turn_end()
        assert await threads.turns_since(client, thread_id, "no-such-turn@99999999999") == []


async def test_a_busy_thread_keeps_what_is_queued(app_server: RealServer) -> None:
    async with person(app_server) as client:
        thread_id = (await threads.start(client, app_server.project)).id
        await threads.enqueue(client, thread_id, "ab-1", "%hold gate first")
        await asyncio.to_thread(app_server.model.wait_for_prompt, "%hold gate")
        entry = await threads.enqueue(client, thread_id, "ab-2", "second")
        assert await threads.queued(client, thread_id) == {"ab-2": entry}
        app_server.model.release("gate")
        await heard_by(client).turn_end(2)
        assert await threads.queued(client, thread_id) == {}
        ids = [i.clientId async for turn in threads.turns(client, thread_id) for i in turn.items]
        assert [id for id in ids if id] == ["ab-2", "ab-1"]


async def test_an_interrupted_thread_starts_what_is_queued_when_told_to(
    app_server: RealServer,
) -> None:
    async with person(app_server) as client:
        thread_id = (await threads.start(client, app_server.project)).id
        await threads.enqueue(client, thread_id, "ab-1", "%hold gate first")
        await asyncio.to_thread(app_server.model.wait_for_prompt, "%hold gate")
        (started,) = [e.turn for e in heard_by(client).events if isinstance(e, codex.TurnStarted)]
        await threads.interrupt(client, thread_id, started.id)
        assert (await heard_by(client).turn_end()).status == "interrupted"
        entry = await threads.enqueue(client, thread_id, "ab-2", "second")
        await threads.start_queued(client, thread_id, entry)
        assert (await heard_by(client).turn_end(2)).status == "completed"
        app_server.model.release("gate")


async def test_a_steer_of_a_turn_that_does_not_run_is_refused(app_server: RealServer) -> None:
    async with person(app_server) as client:
        thread_id = (await threads.start(client, app_server.project)).id
        with pytest.raises(CodexError, match="active turn"):
            await threads.steer(client, thread_id, "no-such-turn", "ab-1", "hello")
