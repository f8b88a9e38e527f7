import asyncio
import time
from typing import Any

import pytest
from msgspec.structs import replace

from agentbridged.codex import thread as threads
from agentbridged.codex.side import CodexSide
from agentbridged.machines.delivery import Mail
from agentbridged.wire import codex
from tests.codex.conftest import RealServer
from tests.codex.desk import Desk, away_after, opens_a_thread, person, said, types
from tests.codex.memory import Memory

pytestmark = [pytest.mark.realtime, pytest.mark.end_to_end]


async def test_a_question_reaches_the_persons_thread_and_the_answer_comes_back(
    app_server: RealServer,
) -> None:
    owner = Memory(app_server.project)
    desk = Desk(app_server, owner)
    async with desk.running(), person(app_server) as tui:
        thread_id = await opens_a_thread(tui, app_server)
        await owner.until(lambda: thread_id in owner.cursors)
        desk.send("ab-1", "how are you")
        await owner.until(owner.pushed)
        assert owner.pushed() == ["ECHO: how are you"]
        assert owner.states == {"ab-1": "consumed"}
        (answer,) = owner.said.values()
        assert (answer.in_reply_to, answer.prompts) == ("ab-1", ())


async def test_what_the_person_types_comes_along_with_the_answer(app_server: RealServer) -> None:
    owner = Memory(app_server.project)
    async with Desk(app_server, owner).running(), person(app_server) as tui:
        thread_id = await opens_a_thread(tui, app_server)
        await owner.until(lambda: thread_id in owner.cursors)
        await types(tui, thread_id, "what now")
        await owner.until(owner.pushed)
        (answer,) = owner.said.values()
        assert (answer.text, answer.prompts) == ("ECHO: what now", ("what now",))
        assert answer.in_reply_to is None


async def test_what_was_said_while_we_were_away_is_read_back_once_in_order(
    app_server: RealServer,
) -> None:
    owner = Memory(app_server.project)
    async with away_after(app_server, owner, "zero") as (tui, thread_id):
        await said(tui, thread_id, "one", "two")
        async with Desk(app_server, owner, thread_id).running():
            await owner.until(lambda: len(owner.pushed()) == 3)
        assert owner.pushed() == ["ECHO: zero", "ECHO: one", "ECHO: two"]


async def test_a_turn_that_is_listed_as_interrupted_while_it_completes_is_read_back_whole(
    app_server: RealServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = threads.turns_since
    looks: list[str] = []

    async def as_in_that_moment(*arguments: Any) -> list[codex.Turn]:
        turns = await listed(*arguments)
        looks.extend(turn.status for turn in turns)
        return [replace(t, status="interrupted") for t in turns] if len(looks) == 1 else turns

    owner = Memory(app_server.project)
    async with away_after(app_server, owner, "zero") as (tui, thread_id):
        await said(tui, thread_id, "one")
        monkeypatch.setattr(threads, "turns_since", as_in_that_moment)
        async with Desk(app_server, owner, thread_id).running():
            await owner.until(lambda: len(owner.pushed()) == 2)
        assert owner.pushed() == ["ECHO: zero", "ECHO: one"]
        assert looks == ["completed", "completed"]


async def test_a_message_whose_fate_is_unknown_is_found_and_not_doubled(
    app_server: RealServer,
) -> None:
    owner = Memory(app_server.project)
    async with person(app_server) as tui:
        thread_id = await opens_a_thread(tui, app_server)
        await threads.tell(tui, thread_id)
        owner.ours.add("ab-1")
        owner.attempting("ab-1", "queue", thread_id)
        await threads.enqueue(tui, thread_id, "ab-1", "once")
        desk = Desk(app_server, owner, thread_id)
        desk.side.accept(Mail("ab-1", "once", doubtful=True))
        desk.send("ab-2", "and then this")
        async with desk.running():
            await owner.until(lambda: "ECHO: and then this" in owner.pushed())
        assert len(app_server.model.prompts("once")) == 1


async def test_a_message_that_never_arrived_is_sent(app_server: RealServer) -> None:
    owner = Memory(app_server.project)
    async with person(app_server) as tui:
        thread_id = await opens_a_thread(tui, app_server)
        owner.ours.add("ab-1")
        owner.attempting("ab-1", "queue", thread_id)
        desk = Desk(app_server, owner)
        desk.side.accept(Mail("ab-1", "at last", doubtful=True))
        async with desk.running():
            await owner.until(owner.pushed)
        assert owner.pushed() == ["ECHO: at last"]


async def test_a_thread_is_started_when_there_is_none_and_the_sender_asked(
    app_server: RealServer,
) -> None:
    owner = Memory(app_server.project)
    desk = Desk(app_server, owner)
    desk.send("ab-1", "hello", start_thread=True)
    async with desk.running() as client:
        await owner.until(owner.pushed)
        assert desk.side.thread_id is not None
        assert (await threads.read(client, desk.side.thread_id)).cwd == str(app_server.project)


async def test_a_busy_thread_takes_an_interrupting_message_at_once(
    app_server: RealServer,
) -> None:
    owner = Memory(app_server.project)
    desk = Desk(app_server, owner)
    async with desk.running(), person(app_server) as tui:
        thread_id = await opens_a_thread(tui, app_server)
        await owner.until(lambda: thread_id in owner.cursors)
        await types(tui, thread_id, "%hold gate half")
        await asyncio.to_thread(app_server.model.wait_for_prompt, "%hold gate")
        desk.send("ab-1", "stop that", when_busy="interrupt")
        await owner.until(lambda: "ECHO: stop that" in owner.pushed())
        app_server.model.release("gate")


async def test_a_steered_message_joins_the_running_turn(app_server: RealServer) -> None:
    owner = Memory(app_server.project)
    desk = Desk(app_server, owner)
    async with desk.running(), person(app_server) as tui:
        thread_id = await opens_a_thread(tui, app_server)
        await owner.until(lambda: thread_id in owner.cursors)
        await types(tui, thread_id, "%hold gate half")
        await asyncio.to_thread(app_server.model.wait_for_prompt, "%hold gate")
        await owner.until(lambda: True)
        desk.send("ab-1", "also this", when_busy="steer")
        await owner.until(lambda: owner.states.get("ab-1") == "consumed")
        app_server.model.release("gate")
        await owner.until(owner.pushed)
        assert owner.pushed() == ["ECHO: also this"]


@pytest.mark.requirement("A7")
async def test_an_approval_is_waited_for_and_said_so(app_server: RealServer) -> None:
    owner = Memory(app_server.project)
    desk = Desk(app_server, owner)
    asked: list[codex.ServerRequest] = []

    def hear(side: CodexSide, request: codex.ServerRequest) -> None:
        asked.append(request)
        owner.news.set()

    desk.hub.asked_of = hear
    async with desk.running(), person(app_server) as tui:
        thread_id = await opens_a_thread(tui, app_server)
        await owner.until(lambda: thread_id in owner.cursors)
        await types(tui, thread_id, "%esc true")
        await owner.until(lambda: asked)
        (request,) = asked
        assert "true" in codex.question_in_words(request)
        await owner.until(lambda: desk.side.turns.waiting)
        assert desk.side.turns.waiting is not None
        assert desk.side.turns.waiting.on == "approval"


@pytest.mark.requirement("C5")
async def test_a_switch_of_the_thread_is_followed(app_server: RealServer) -> None:
    owner = Memory(app_server.project)
    desk = Desk(app_server, owner)
    async with desk.running(), person(app_server) as tui:
        first = await opens_a_thread(tui, app_server)
        await owner.until(lambda: first in owner.cursors)
        second = await opens_a_thread(tui, app_server)
        await owner.until(lambda: second in owner.cursors)
        desk.send("ab-1", "to the second")
        await owner.until(owner.pushed)
        assert desk.side.thread_id == second


@pytest.mark.requirement("C5")
async def test_a_thread_that_was_left_is_heard_until_it_holds_nothing_of_ours(
    app_server: RealServer,
) -> None:
    owner = Memory(app_server.project)
    desk = Desk(app_server, owner)
    async with desk.running(), person(app_server) as tui:
        first = await opens_a_thread(tui, app_server)
        await owner.until(lambda: first in owner.cursors)
        owner.owing[first] = time.time()
        second = await opens_a_thread(tui, app_server)
        await owner.until(lambda: second in owner.cursors)
        assert desk.side.hears_out(first)
        await types(tui, first, "what is not for Claude")
        await owner.until(lambda: owner.said)
        assert owner.pushed() == []
        owner.owing.clear()
        desk.side.wake()
        await owner.until(lambda: not desk.side.follows(first))
        assert desk.side.thread_id == second


@pytest.mark.requirement("C5")
async def test_what_a_thread_left_before_our_restart_owes_is_read_back_once(
    app_server: RealServer,
) -> None:
    owner = Memory(app_server.project)
    async with person(app_server) as tui:
        desk = Desk(app_server, owner)
        async with desk.running():
            first = await opens_a_thread(tui, app_server)
            await owner.until(lambda: first in owner.cursors)
        owner.ours.add("ab-1")
        params = {
            "threadId": first,
            "input": codex.text_input("ours, and answered while we were away"),
            "clientUserMessageId": "ab-1",
        }
        await tui.call("turn/start", params, dict)
        second = await opens_a_thread(tui, app_server)
        owner.owing[first] = time.time()
        again = Desk(app_server, owner, last=second)
        async with again.running():
            await owner.until(owner.pushed)
            await owner.until(lambda: owner.ended and again.side.thread_id == second)
            (answer,) = owner.said.values()
            assert answer.in_reply_to == "ab-1"


async def test_the_last_words_of_a_turn_that_only_its_end_tells_are_taken_in_once(
    app_server: RealServer,
) -> None:
    owner = Memory(app_server.project)
    desk = Desk(app_server, owner)

    def all_but_the_answer(event: codex.Event) -> None:
        if not (isinstance(event, codex.ItemCompleted) and event.item.type == "agentMessage"):
            desk.hear(event)

    async with desk.running() as client, person(app_server) as tui:
        thread_id = await opens_a_thread(tui, app_server)
        await owner.until(lambda: thread_id in owner.cursors)
        client.heard = all_but_the_answer
        desk.send("ab-1", "joined between its answer and its end")
        await owner.until(owner.pushed)
        assert owner.pushed() == ["ECHO: joined between its answer and its end"]
        (answer,) = owner.said.values()
        assert answer.in_reply_to == "ab-1"
