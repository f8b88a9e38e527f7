"""What a session is called, and what happens to it when its shim is slow."""

from __future__ import annotations

import asyncio
import time

import pytest

from agentbridged.claude import session as module
from agentbridged.claude.session import QUEUE_BYTES, Outlet, Session
from agentbridged.machines.gate import SessionId
from agentbridged.wire import claude
from agentbridged.wire.close import REASON_LIMIT
from tests.claude.hall import Hall, open_hall

NOTICE = claude.Notice(kind="test", text="hi")


def message(number: int, text: str = "hi") -> claude.Message:
    return claude.Message(id=f"ab-{number}", seq=number, text=text, created_at="2026-01-01")


def named(session_id: str) -> Session:
    attach = claude.Attach(contract=1, project_dir="/p", session_id=session_id, claude_pid=42)
    since = time.mktime((2026, 1, 2, 10, 3, 0, 0, 0, -1))
    return Session(SessionId(1), attach, Outlet.__new__(Outlet), since=since)


@pytest.mark.requirement("S1")
def test_a_session_is_called_by_pid_session_and_hour() -> None:
    assert named("abc").name == "pid 42 session abc since 10:03"
    assert named("abc").key == "42/abc"
    assert named("").name == "pid 42 since 10:03"


def test_a_name_is_printable_and_short_enough_for_a_close_reason() -> None:
    assert named("a\nb\x1b").name == "pid 42 session a?b? since 10:03"
    name = named("x" * 200).name
    assert name.endswith("… since 10:03")
    assert len(f"seat held by {name}".encode()) <= REASON_LIMIT


async def seated(hall: Hall) -> Session:
    (_,) = await hall.bridge.until("seated")
    assert hall.bridge.session is not None
    return hall.bridge.session


async def test_news_reaches_the_shim() -> None:
    async with open_hall() as hall, hall.shim() as shim:
        await shim.attach()
        assert (await seated(hall)).notice(NOTICE)
        heard = await shim.hear()
        assert heard["method"] == "notice"
        assert heard["params"] == {"kind": "test", "text": "hi"}


async def test_a_session_without_the_seat_takes_nothing() -> None:
    async with open_hall() as hall:
        async with hall.shim() as shim:
            await shim.attach()
            session = await seated(hall)
        await hall.bridge.until("unseated")
        assert not session.push(message(1))
        assert not session.notice(NOTICE)


async def test_a_shim_that_reads_nothing_holds_up_nobody_and_is_cut_off_in_the_end() -> None:
    async with open_hall() as hall, hall.shim() as shim:
        await shim.attach()
        session = await seated(hall)
        shim.go_silent()
        sent = 0
        while session.push(message(sent, "x" * 100_000)):
            sent += 1
        assert sent == pytest.approx(QUEUE_BYTES / 100_100, rel=0.01)
        assert not session.push(message(sent))
        began = asyncio.get_running_loop().time()
        await hall.bridge.until("unseated")
        assert module.STALL_S <= asyncio.get_running_loop().time() - began < module.STALL_S + 5
        shim.ws.transport.abort()


async def test_a_shim_that_stands_still_within_its_room_is_left_alone() -> None:
    async with open_hall() as hall, hall.shim() as shim:
        await shim.attach()
        session = await seated(hall)
        shim.go_silent()
        for number in range(20):
            assert session.push(message(number, "x" * 100_000))
        await asyncio.sleep(8 * 3600)
        shim.listen_again()
        for number in range(20):
            assert (await shim.hear())["params"]["seq"] == number


async def test_a_shim_too_far_behind_gets_what_was_queued_and_then_attaches_again() -> None:
    async with open_hall() as hall, hall.shim() as shim:
        await shim.attach()
        session = await seated(hall)
        sent = 0
        while session.push(message(sent)):
            sent += 1
        assert sent == module.QUEUE_FRAMES
        for number in range(sent):
            assert (await shim.hear())["params"]["seq"] == number
        assert await shim.closed() == (1013, "too far behind; attach again")
    async with open_hall() as hall, hall.shim() as again:
        assert "result" in await again.attach()


async def test_a_shim_that_falls_behind_while_a_frame_is_written_is_cut_off_too() -> None:
    async with open_hall() as hall, hall.shim() as shim:
        await shim.attach()
        session = await seated(hall)
        shim.go_silent()
        assert session.push(message(0, "x" * 10_000_000))
        await asyncio.sleep(3600)
        while session.push(message(1, "x" * 1_000_000)):
            pass
        await hall.bridge.until("unseated")
        shim.ws.transport.abort()
