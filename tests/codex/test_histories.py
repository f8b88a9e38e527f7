"""What people do to a thread (archive, delete, revert, fork, compact), and long pasts of it."""

from __future__ import annotations

import asyncio

import pytest

from agentbridged.codex import thread as threads
from agentbridged.machines.delivery import Mail
from agentbridged.wire import codex
from tests.codex.conftest import RealServer
from tests.codex.desk import (
    Desk,
    away_after,
    opens_a_thread,
    person,
    said,
    turns_are_over,
    types,
)
from tests.codex.memory import Memory

pytestmark = [pytest.mark.realtime, pytest.mark.end_to_end]


@pytest.mark.parametrize("verb", ["thread/archive", "thread/delete"])
async def test_what_waits_on_a_thread_that_is_put_away_goes_to_the_next_one(
    app_server: RealServer, verb: str
) -> None:
    owner = Memory(app_server.project)
    desk = Desk(app_server, owner)
    async with desk.running(), person(app_server) as tui:
        first = await opens_a_thread(tui, app_server)
        await owner.until(lambda: first in owner.cursors)
        await types(tui, first, "%hold gate half of it")
        await asyncio.to_thread(app_server.model.wait_until_held, "gate")
        desk.send("ab-1", "still to be read")
        await owner.until(lambda: owner.states.get("ab-1") == "written")
        owner.taken_once = [Mail("ab-1", "still to be read")]
        await tui.call(verb, {"threadId": first}, dict)
        desk.send("ab-2", "and this")
        await owner.until(lambda: desk.side.thread_id is None)
        second = await opens_a_thread(tui, app_server)
        await owner.until(lambda: "ECHO: and this" in owner.pushed())
        assert owner.pushed() == ["ECHO: still to be read", "ECHO: and this"]
        assert desk.side.thread_id == second
        app_server.model.release("gate")


@pytest.mark.parametrize("verb", ["thread/archive", "thread/delete"])
async def test_a_message_in_doubt_on_a_thread_that_was_put_away_holds_up_no_other(
    app_server: RealServer, verb: str
) -> None:
    owner = Memory(app_server.project)
    async with person(app_server) as tui:
        first = await opens_a_thread(tui, app_server)
        await threads.tell(tui, first)
        await said(tui, first, "hello")
        owner.attempting("ab-1", "queue", first)
        owner.ours.add("ab-1")
        await tui.call(verb, {"threadId": first}, dict)
        desk = Desk(app_server, owner, last=first)
        desk.side.accept(Mail("ab-1", "in doubt", doubtful=True))
        desk.send("ab-2", "and this")
        async with desk.running():
            await opens_a_thread(tui, app_server)
            await owner.until(lambda: "ECHO: and this" in owner.pushed())
        assert owner.pushed() == ["ECHO: in doubt", "ECHO: and this"]


async def test_a_message_is_found_on_the_last_page_of_a_long_queue(app_server: RealServer) -> None:
    owner = Memory(app_server.project)
    async with person(app_server) as tui:
        thread_id = await opens_a_thread(tui, app_server)
        await types(tui, thread_id, "%hold gate half of it")
        await asyncio.to_thread(app_server.model.wait_until_held, "gate")
        for number in range(1, 61):
            await threads.enqueue(tui, thread_id, f"q-{number}", f"entry {number}")
        assert len(await threads.queued(tui, thread_id)) == 60
        owner.attempting("q-60", "queue", thread_id)
        owner.ours.add("q-60")
        desk = Desk(app_server, owner, last=thread_id)
        desk.side.accept(Mail("q-60", "entry 60", doubtful=True))
        async with desk.running():
            await owner.until(lambda: owner.states.get("q-60") == "written")
            assert len(desk.side.delivery) == 0
        assert len(await threads.queued(tui, thread_id)) == 60
        await asyncio.to_thread(app_server.stop)
        app_server.model.release("gate")


async def test_a_long_absence_is_read_back_over_many_pages_in_order(
    app_server: RealServer,
) -> None:
    owner = Memory(app_server.project)
    lines = [f"line {number}" for number in range(2 * threads.PAGE + 15)]
    async with away_after(app_server, owner, "zero") as (tui, thread_id):
        await said(tui, thread_id, *lines)
        async with Desk(app_server, owner, thread_id).running():
            await owner.until(lambda: len(owner.pushed()) == 1 + len(lines))
        assert owner.pushed() == ["ECHO: zero", *(f"ECHO: {line}" for line in lines)]


async def test_a_history_that_was_reverted_while_we_were_away_gives_what_came_after_once(
    app_server: RealServer,
) -> None:
    owner = Memory(app_server.project)
    async with away_after(app_server, owner, "one", "two") as (tui, thread_id):
        newest = (await threads.turns_since(tui, thread_id, ""))[-1]
        await tui.call("thread/revert", {"threadId": thread_id, "beforeTurnId": newest.id}, dict)
        await said(tui, thread_id, "three")
        async with Desk(app_server, owner, thread_id).running():
            await owner.until(lambda: "ECHO: three" in owner.pushed())
        assert owner.pushed() == ["ECHO: one", "ECHO: two", "ECHO: three"]


async def test_a_message_whose_turn_was_reverted_is_not_sent_again(app_server: RealServer) -> None:
    owner = Memory(app_server.project)
    desk = Desk(app_server, owner)
    async with desk.running(), person(app_server) as tui:
        thread_id = await opens_a_thread(tui, app_server)
        await owner.until(lambda: thread_id in owner.cursors)
        desk.send("ab-1", "once")
        await owner.until(lambda: len(owner.ended) == 1)
        newest = (await threads.turns_since(tui, thread_id, ""))[-1]
        await tui.call("thread/revert", {"threadId": thread_id, "beforeTurnId": newest.id}, dict)
        desk.send("ab-2", "and this")
        await owner.until(lambda: "ECHO: and this" in owner.pushed())
        assert len(app_server.model.prompts("once")) == 1
        assert owner.pushed() == ["ECHO: once", "ECHO: and this"]


async def test_a_fork_brings_nothing_again_that_was_said_before_it(app_server: RealServer) -> None:
    owner = Memory(app_server.project)
    desk = Desk(app_server, owner)
    async with desk.running(), person(app_server) as tui:
        first = await opens_a_thread(tui, app_server)
        await owner.until(lambda: first in owner.cursors)
        desk.send("ab-1", "before the fork")
        await owner.until(lambda: len(owner.ended) == 1)
        answer = await tui.call("thread/fork", {"threadId": first}, codex.ThreadAnswer)
        await owner.until(lambda: answer.thread.id in owner.cursors)
        desk.send("ab-2", "after the fork")
        await owner.until(lambda: "ECHO: after the fork" in owner.pushed())
        assert owner.pushed() == ["ECHO: before the fork", "ECHO: after the fork"]
        assert desk.side.thread_id == answer.thread.id


async def test_a_thread_that_was_compacted_while_we_were_away_is_read_back(
    app_server: RealServer,
) -> None:
    owner = Memory(app_server.project)
    async with away_after(app_server, owner, "one") as (tui, thread_id):
        await said(tui, thread_id, "two")
        await tui.call("thread/compact/start", {"threadId": thread_id}, dict)
        await turns_are_over(tui, thread_id, 3)
        await said(tui, thread_id, "three")
        async with Desk(app_server, owner, thread_id).running():
            await owner.until(lambda: "ECHO: three" in owner.pushed())
        assert owner.pushed() == ["ECHO: one", "ECHO: two", "ECHO: three"]
