"""Threads a person has left that still hold something of ours."""

from __future__ import annotations

import asyncio
from pathlib import Path

from agentbridged.errors import CodexError, ConnectionLost
from agentbridged.wire import codex
from tests.codex.small import agent, scene, turn, user

OVERLOADED = CodexError(codex.OVERLOADED, "Server overloaded; retry later.")


async def test_what_a_fork_copied_is_neither_told_again_nor_taken_for_its_own(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, "a", "fork", "other") as s:
        s.connect("a")
        await asyncio.sleep(1)
        first = await s.ask("first")
        s.takes("a", first, "t1")
        copied = turn("t1", user(first, f"i-{first}"), status="interrupted")
        s.small.turns["fork"] = [copied]  # as a fork of a running thread has it
        await s.go("fork")
        second = await s.ask("second")
        s.takes("fork", second, "t2")
        await s.go("other")
        s.connect("other")
        await asyncio.sleep(60)
        assert not [text for text in s.notices if "no answer will come" in text]
        s.small.turns["a"] = [turn("t1", user(first, f"i-{first}"), agent("to the first", "i2"))]
        s.small.status["a"] = "idle"
        s.connect("other")
        await asyncio.sleep(60)
        assert s.states()["first"] == "answered"
        assert s.states()["second"] == "consumed"
        assert [text for text in s.states() if text == "to the first"] == ["to the first"]


async def test_a_thread_that_cannot_be_heard_holds_up_no_other(tmp_path: Path) -> None:
    async with scene(tmp_path, "a", "b") as s:
        s.connect("a")
        await asyncio.sleep(1)
        await s.ask("on a")
        for fault in (ConnectionLost("no answer within 30 s"), OVERLOADED):
            s.small.fault = lambda method, thread_id, fault=fault: (  # type: ignore[misc]  # a lambda
                fault if (method, thread_id) == ("thread/resume", "a") else None
            )
            s.connect("a", "b")
            await asyncio.sleep(60)
            asked = await s.ask(f"on b, {fault}")
            assert asked in s.small.queue["b"]


async def test_the_turns_of_many_threads_that_were_cut_are_all_told(tmp_path: Path) -> None:
    names = [f"t{n}" for n in range(8)]
    async with scene(tmp_path, *names) as s:
        s.connect(names[0])
        for name in names[:-1]:
            await s.go(name)
            cut = s.takes(name, await s.ask(name), f"turn of {name}")
            cut["status"] = "interrupted"  # by a kill: listed so, and never told
            s.small.status[name] = "idle"
        s.connect(names[-1])
        await asyncio.sleep(120)
        told = [text for text in s.notices if "no answer will come" in text]
        assert len(told) == len(names) - 1
        assert s.store.unanswered("p-1") == {}


async def test_whoever_comes_back_just_as_the_turn_ends_misses_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path, "a", "b") as s:
        s.connect("a")
        await asyncio.sleep(1)
        id = await s.ask("question")
        running = s.takes("a", id, "t1")
        await s.go("b")
        said = codex.Item("agentMessage", "i2", "answer")  # of no phase: its turn's end decides
        s.hears(codex.ItemCompleted("a", "t1", said))

        def end(method: str, thread_id: str) -> None:
            if (method, thread_id) == ("thread/resume", "a") and running["status"] != "completed":
                running.update(
                    status="completed", items=[user(id, "i1"), agent("answer", "i2", None)]
                )
                s.small.status["a"] = "idle"
                s.hears(codex.TurnCompleted("a", codex.Turn("t1", "completed", [said])))

        s.small.fault = end
        await s.go("a")
        await asyncio.sleep(60)
        assert s.states() == {"question": "answered", "answer": "accepted"}


async def test_what_the_last_thread_said_while_nobody_heard_is_kept_before_it_is_left(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, "a", "b") as s:
        s.small.turns["a"] = [turn("t0", user(None, "i0"))]
        s.connect("a")
        await asyncio.sleep(1)
        s.side.gone()
        s.small.turns["a"].append(turn("t1", user(None, "i1"), agent("for Claude", "i2")))
        s.connect("a", "b")
        await asyncio.sleep(1)
        assert s.side.thread_id == "b"
        assert s.states() == {"for Claude": "accepted"}
