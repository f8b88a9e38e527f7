"""The seat's keeper: probes, departures, deaths, and bridges that fail."""

from __future__ import annotations

import asyncio
import os

import pytest

from agentbridged.claude.session import Session
from agentbridged.errors import StoreError
from tests.claude.hall import attach_params, open_hall


@pytest.mark.requirement("S6")
async def test_a_silent_holder_loses_the_seat_after_three_seconds_and_not_before() -> None:
    async with open_hall() as hall, hall.shim() as holder, hall.shim() as newcomer:
        await holder.attach()
        holder.go_silent()
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert "result" in await newcomer.attach(session_id="s2")
        assert 3 <= loop.time() - began < 4
        assert [what for what, _ in hall.bridge.told] == ["seated", "unseated", "seated"]
        holder.listen_again()
        code, reason = await holder.closed()
        assert code == 4002
        assert reason is not None
        assert reason.endswith("did not answer for 3 s")


@pytest.mark.requirement("S2")
async def test_a_third_session_is_rejected_at_once_while_the_second_waits() -> None:
    async with open_hall() as hall, hall.shim() as holder:
        await holder.attach()
        holder.go_silent()
        async with hall.shim() as second, hall.shim() as third:
            waiting = await second.ask("attach", **attach_params(session_id="s2"))
            await third.ask("attach", **attach_params(session_id="s3"))
            assert (await third.closed())[0] == 4001
            holder.listen_again()
            assert (await second.closed())[0] == 4001
            assert waiting
        assert "result" in await holder.call("status")


async def test_a_newcomer_that_leaves_while_it_waits_leaves_the_holder_seated() -> None:
    async with open_hall() as hall, hall.shim() as holder:
        await holder.attach()
        holder.go_silent()
        async with hall.shim() as newcomer:
            await newcomer.ask("attach", **attach_params(session_id="s2"))
        await asyncio.sleep(10)
        holder.listen_again()
        assert "result" in await holder.call("status")
        assert hall.bridge.what("unseated") == []


async def test_a_newcomer_that_waits_is_seated_when_the_holder_leaves() -> None:
    async with open_hall() as hall, hall.shim() as newcomer:
        async with hall.shim() as holder:
            await holder.attach()
            holder.go_silent()
            waiting = await newcomer.ask("attach", **attach_params(session_id="s2"))
            holder.ws.transport.abort()
        assert "result" in await newcomer.answer(waiting)
        assert hall.bridge.told[-2:] == [
            ("unseated", (f"{os.getpid()}/s1", "its connection ended")),
            ("seated", f"{os.getpid()}/s2"),
        ]


async def test_a_newcomer_that_waits_when_the_bridge_is_killed_is_closed_too() -> None:
    async with open_hall() as hall, hall.shim() as holder, hall.shim() as newcomer:
        await holder.attach()
        holder.go_silent()
        await newcomer.ask("attach", **attach_params(session_id="s2"))
        await asyncio.sleep(1)
        hall.door.kill("p", "switched off")
        assert await newcomer.closed() == (4003, "switched off")
        holder.listen_again()
        assert await holder.closed() == (4003, "switched off")


class ReusedPid:
    """Liveness where each pid has gone to another process, and no death was heard of."""

    def identify(self, pid: int) -> int | None:
        return pid

    def is_alive(self, identity: int) -> bool:
        return False

    def is_stopped(self, identity: int) -> bool:
        return False

    async def wait_for_end(self, identity: int) -> None:
        await asyncio.Event().wait()


@pytest.mark.requirement("S6")
async def test_a_holder_whose_pid_went_to_another_process_is_not_asked() -> None:
    async with open_hall(ReusedPid()) as hall, hall.shim() as holder, hall.shim() as newcomer:
        await holder.attach()
        assert "result" in await newcomer.attach(session_id="s2")
        code, reason = await holder.closed()
        assert code == 4002
        assert reason is not None
        assert reason.endswith("its process is gone")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(StoreError("the disk is full"), "the disk is full"), (KeyError("x"), "internal error")],
)
async def test_a_bridge_that_cannot_seat_closes_the_session_and_the_seat_is_free(
    fault: Exception, reason: str
) -> None:
    async with open_hall() as hall, hall.shim() as shim, hall.shim() as next_one:
        hall.bridge.fails = fault
        await shim.ask("attach", **attach_params())
        assert await shim.closed() == (1011, reason)
        hall.bridge.fails = None
        assert "result" in await next_one.attach()


async def test_a_bridge_that_cannot_be_told_loses_its_session_all_the_same(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(session: Session, why: str) -> None:
        raise StoreError("the disk is full")

    async with open_hall() as hall, hall.shim() as shim, hall.shim() as other:
        await shim.attach()
        monkeypatch.setattr(hall.bridge, "unseated", fail)
        assert hall.door.release("p", "a person")
        assert await shim.closed() == (4002, "seat released by a person")
        assert "result" in await other.attach()
        assert "unseating" in caplog.text


async def test_a_watch_that_fails_ends_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    async with open_hall(Blind()) as hall, hall.shim() as shim:
        await shim.attach()
        assert "result" in await shim.call("status")
        assert "work for a session failed" in caplog.text


class Blind(ReusedPid):
    """Liveness that cannot watch."""

    async def wait_for_end(self, identity: int) -> None:
        raise OSError("too many open files")


@pytest.mark.requirement("S4", "S6")
async def test_every_newcomer_is_answered_when_many_contest_a_silent_holder() -> None:
    async with open_hall() as hall, hall.shim() as holder:
        await holder.attach()
        holder.go_silent()
        seated: list[str] = []

        async def newcomer(session: str) -> int | None:
            async with hall.shim() as shim:
                await shim.ask("attach", **attach_params(session_id=session))
                reading = await shim.ws.recv() if session == "n0" else None
                if reading is not None:
                    seated.append(session)
                    return None
                return (await shim.closed())[0]

        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(newcomer("n0"))
            await asyncio.sleep(1)
            others = [tasks.create_task(newcomer(f"n{n}")) for n in range(1, 10)]
        assert first.result() is None
        assert seated == ["n0"]
        assert [task.result() for task in others] == [4001] * 9
        holder.ws.transport.abort()
