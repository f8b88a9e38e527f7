"""The door, over real sockets, with real clients and real processes."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
from websockets.asyncio.client import unix_connect
from websockets.exceptions import InvalidStatus

from agentbridged.children import liveness
from agentbridged.claude.server import ClaudeDoor
from agentbridged.errors import Refused
from tests.claude.hall import PATIENCE, Hall, SmallDaemon, open_hall

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
LONE_SHIM = Path(__file__).with_name("lone_shim.py")


@asynccontextmanager
async def program(*command: str) -> AsyncIterator[Process]:
    """Run a real process; it is gone at the end."""
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def lone_shim(hall: Hall, session: str) -> AsyncIterator[Process]:
    """Run a shim in a process of its own, seated."""
    async with program(sys.executable, str(LONE_SHIM), str(hall.door.path), session) as process:
        assert b'"bridge"' in await line_of(process)
        yield process


async def line_of(process: Process) -> bytes:
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        return await process.stdout.readline()


def stop(pid: int) -> None:
    """Stop a child of ours; returns when its last thread, which might answer, stands still."""
    psutil.Process(pid).suspend()
    _, status = os.waitpid(pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)


def waits_for_stdin() -> tuple[str, ...]:
    return (sys.executable, "-c", "input()")


async def test_a_session_attaches_and_is_told_its_bridge() -> None:
    async with open_hall() as hall, hall.shim() as shim:
        assert hall.door.holder("p") is None
        answer = await shim.attach()
        assert answer["result"] == {"bridge": "p", "root": "/work/p", "codex": None, "pending": 0}
        holder = hall.door.holder("p")
        assert holder is not None
        assert holder.key == f"{os.getpid()}/s1"


@pytest.mark.requirement("S1", "S2")
async def test_a_second_session_is_rejected_and_the_holder_unharmed() -> None:
    async with open_hall() as hall, hall.shim() as first, hall.shim() as second:
        await first.attach()
        await second.ask("attach", session_id="s2", contract=1, project_dir="/work/p", claude_pid=1)
        code, reason = await second.closed()
        assert code == 4001
        assert reason is not None
        assert reason.startswith(f"seat held by pid {os.getpid()} session s1 since ")
        assert (await first.call("status"))["result"] == {"id": "p"}
        assert first.notes == []


async def test_each_bridge_has_a_seat_of_its_own() -> None:
    async with open_hall() as hall, hall.shim() as first, hall.shim() as second:
        await first.attach(project_dir="/work/p")
        assert (await second.attach(project_dir="/work/q"))["result"]["bridge"] == "q"


@pytest.mark.requirement("S4")
async def test_fifty_newcomers_at_once_do_not_disturb_the_holder() -> None:
    async with open_hall() as hall, hall.shim() as holder:
        await holder.attach()

        async def newcomer(number: int) -> int | None:
            async with hall.shim() as shim:
                await shim.ask("attach", **attach_of(f"n{number}"))
                return (await shim.closed())[0]

        async with asyncio.TaskGroup() as tasks:
            newcomers = [tasks.create_task(newcomer(n)) for n in range(50)]
        assert [task.result() for task in newcomers] == [4001] * 50
        assert (await holder.call("status"))["result"] == {"id": "p"}
        assert holder.notes == []
        assert hall.bridge.what("unseated") == []


@pytest.mark.requirement("S6")
async def test_a_thousand_quick_contests_never_evict_a_holder_that_lives() -> None:
    asyncio.get_running_loop().set_debug(False)
    async with open_hall() as hall, hall.shim() as holder:
        await holder.attach()
        for number in range(1000):
            assert await quick_newcomer(hall, f"n{number}") == 4001
        assert hall.bridge.told == [("seated", f"{os.getpid()}/s1")]


async def quick_newcomer(hall: Hall, session: str) -> int:
    """Attach with the fewest bytes that do; return the close code."""
    reader, writer = await asyncio.open_unix_connection(str(hall.door.path))
    say = json.dumps({"id": 1, "method": "attach", "params": attach_of(session)}).encode()
    writer.write(HANDSHAKE + b"\x81\xfe" + len(say).to_bytes(2, "big") + b"\0\0\0\0" + say)
    async with asyncio.timeout(PATIENCE):
        await reader.readuntil(b"\r\n\r\n")
        frame = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert frame[0] == 0x88
    return int.from_bytes(frame[2:4], "big")


def attach_of(session: str) -> dict[str, object]:
    return {
        "contract": 1,
        "project_dir": "/work/p",
        "session_id": session,
        "claude_pid": os.getpid(),
    }


# A holder that died or hangs


@pytest.mark.realtime
@pytest.mark.requirement("S6")
async def test_a_stopped_holder_loses_the_seat_to_a_newcomer_and_learns_it_later() -> None:
    async with open_hall() as hall, lone_shim(hall, "old") as holder, hall.shim() as newcomer:
        stop(holder.pid)
        assert (await newcomer.attach())["result"]["bridge"] == "p"
        ((_, why),) = await hall.bridge.until("unseated")
        assert "session old since" in why
        assert why.endswith("did not answer for 3 s")
        psutil.Process(holder.pid).resume()
        assert b"did not answer for 3 s" in await line_of(holder)


@pytest.mark.realtime
@pytest.mark.requirement("S6")
async def test_a_stopped_claude_loses_the_seat_to_a_newcomer_though_its_shim_answers() -> None:
    async with open_hall() as hall, program(*waits_for_stdin()) as claude, hall.shim() as holder:
        await holder.attach(claude_pid=claude.pid)
        stop(claude.pid)
        async with hall.shim() as newcomer:
            assert (await newcomer.attach(session_id="s2"))["result"]["bridge"] == "p"
            code, reason = await holder.closed()
            assert code == 4002
            assert reason is not None
            assert reason.endswith("did not answer for 3 s")
        psutil.Process(claude.pid).resume()


@pytest.mark.realtime
@pytest.mark.requirement("S6")
async def test_a_stopped_claude_that_is_continued_in_time_keeps_the_seat() -> None:
    async with open_hall() as hall, program(*waits_for_stdin()) as claude, hall.shim() as holder:
        await holder.attach(claude_pid=claude.pid)
        stop(claude.pid)
        async with hall.shim() as newcomer:
            await newcomer.ask("attach", **attach_of("s2"))
            async with hall.shim() as third:  # its answer shows that the contest is on
                await third.ask("attach", **attach_of("s3"))
                assert (await third.closed())[0] == 4001
            psutil.Process(claude.pid).resume()
            assert (await newcomer.closed())[0] == 4001
        assert hall.bridge.what("unseated") == []


@pytest.mark.realtime
@pytest.mark.requirement("S6")
async def test_a_killed_claude_frees_the_seat_at_once_though_its_shim_stays() -> None:
    async with open_hall() as hall, program(*waits_for_stdin()) as claude, hall.shim() as shim:
        await shim.attach(claude_pid=claude.pid)
        claude.kill()
        code, reason = await shim.closed()
        assert code == 4002
        assert reason is not None
        assert reason.endswith("its process is gone")
        assert hall.door.holder("p") is None


@pytest.mark.realtime
@pytest.mark.requirement("S6")
async def test_a_killed_shim_frees_the_seat() -> None:
    async with open_hall() as hall, lone_shim(hall, "old") as holder, hall.shim() as newcomer:
        holder.kill()
        await hall.bridge.until("unseated")
        assert "result" in await newcomer.attach()


@pytest.mark.realtime
@pytest.mark.requirement("S6")
async def test_a_zombie_holds_no_seat() -> None:
    async with open_hall() as hall, hall.shim() as shim, hall.shim() as newcomer:
        # A child of a process that never waits for it stays a zombie.
        code = (
            "import subprocess as s; p = s.Popen(['cat'], stdin=s.PIPE); print(p.pid, flush=True)"
        )
        async with program(sys.executable, "-c", f"{code}; input()") as parent:
            pid = int(await line_of(parent))
            await shim.attach(claude_pid=pid)
            psutil.Process(pid).kill()
            assert (await shim.closed())[0] == 4002
            assert psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
            assert "result" in await newcomer.attach()


async def test_a_session_whose_claude_is_not_to_be_found_stands_for_whoever_connected() -> None:
    async with open_hall() as hall, hall.shim() as shim:
        await shim.attach(claude_pid=2**31 - 1)
        holder = hall.door.holder("p")
        assert holder is not None
        assert holder.claude_pid == os.getpid()


@pytest.mark.requirement("S2", "S6")
async def test_a_holder_that_said_goodbye_and_never_hangs_up_frees_the_seat() -> None:
    async with open_hall() as hall, hall.shim() as shim:
        await shim.attach()
        # A close frame, and then nothing: the client's own end of it is switched off.
        shim.go_silent()
        shim.ws.transport.write(b"\x88\x82\x00\x00\x00\x00\x03\xe8")
        async with hall.shim() as early:
            await early.ask("attach", **attach_of("early"))
            assert (await early.closed())[0] == 4001
        await hall.bridge.until("unseated")
        async with hall.shim() as late:
            assert "result" in await late.attach()
        shim.ws.transport.abort()


# People


@pytest.mark.requirement("S5")
async def test_a_person_takes_the_seat_over() -> None:
    async with open_hall() as hall, hall.shim() as first, hall.shim() as second:
        await first.attach()
        assert "result" in await second.attach(session_id="s2", take_over=True)
        code, reason = await first.closed()
        assert code == 4002
        assert reason is not None
        assert reason.startswith(f"taken over by pid {os.getpid()} session s2 since")


@pytest.mark.requirement("S5")
async def test_an_operator_releases_the_seat() -> None:
    async with open_hall() as hall, hall.shim() as shim:
        assert hall.door.release("p", "agentbridgectl") is False
        await shim.attach()
        assert hall.door.release("p", "agentbridgectl") is True
        assert await shim.closed() == (4002, "seat released by agentbridgectl")
        assert hall.door.holder("p") is None


@pytest.mark.requirement("S7")
async def test_a_killed_bridge_closes_its_session_and_refuses_others_until_revived() -> None:
    async with open_hall() as hall, hall.shim() as shim:
        hall.door.kill("p", "nobody is there")
        await shim.attach()
        hall.bridge.killed = "killed by a person; agentbridgectl revive"
        hall.door.kill("p", hall.bridge.killed)
        assert await shim.closed() == (4003, "killed by a person; agentbridgectl revive")
        async with hall.shim() as refused:
            await refused.ask("attach", **attach_of("s2"))
            assert await refused.closed() == (4003, "killed by a person; agentbridgectl revive")
        hall.bridge.killed = None
        async with hall.shim() as revived:
            assert "result" in await revived.attach()


# Who comes in


async def test_the_socket_is_private_and_gone_at_the_end() -> None:
    async with open_hall() as hall:
        assert stat.S_IMODE(hall.door.path.stat().st_mode) == 0o600
    assert not hall.door.path.exists()


async def test_a_second_door_on_the_same_socket_is_refused_and_the_first_goes_on() -> None:
    async with open_hall() as hall, hall.shim() as shim:
        with pytest.raises(Refused, match=f"already served by pid {os.getpid()}"):
            await ClaudeDoor(hall.door.path, SmallDaemon(), liveness).run()
        assert "result" in await shim.attach()


async def test_a_door_can_be_opened_again() -> None:
    async with open_hall() as hall:
        pass
    async with asyncio.TaskGroup() as tasks:
        hall.door.path.parent.mkdir()
        running = tasks.create_task(hall.door.run())
        await hall.door.opened.wait()
        async with hall.shim() as shim:
            assert "result" in await shim.attach()
        running.cancel()
    hall.door.path.parent.rmdir()


async def test_a_browser_is_refused() -> None:
    async with open_hall() as hall:
        with pytest.raises(InvalidStatus, match="403"):
            await unix_connect(str(hall.door.path), origin="https://example.org")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
@pytest.mark.realtime
async def test_another_user_is_refused() -> None:
    async with open_hall() as hall:
        hall.door.path.parent.chmod(0o711)
        hall.door.path.chmod(0o666)
        code = (
            "import os, socket; s = socket.socket(socket.AF_UNIX); os.setuid(65534);"
            f"s.connect({str(hall.door.path)!r}); s.sendall({HANDSHAKE!r}); print(s.recv(99))"
        )
        async with program(sys.executable, "-c", code) as stranger:
            assert b"403 Forbidden" in await line_of(stranger)


# The end


async def test_a_stop_tells_each_session_and_frees_the_seats() -> None:
    async with open_hall() as hall:
        async with hall.shim() as shim:
            await shim.attach()
            hall.stop()
            assert (await shim.closed())[0] == 1001
        await hall.bridge.until("unseated")


async def test_a_stop_does_not_wait_for_a_session_that_reads_nothing() -> None:
    async with open_hall() as hall, hall.shim() as shim:
        await shim.attach()
        shim.go_silent()
        began = asyncio.get_running_loop().time()
        hall.stop()
        await hall.bridge.until("unseated")
        assert asyncio.get_running_loop().time() - began <= 5
        shim.listen_again()


async def test_a_stop_does_not_wait_for_a_connection_that_never_shook_hands() -> None:
    async with open_hall() as hall:
        reader, writer = await asyncio.open_unix_connection(str(hall.door.path))
        async with hall.shim() as shim:
            await shim.attach()
            began = asyncio.get_running_loop().time()
            hall.stop()
            assert (await shim.closed())[0] == 1001
        assert await reader.read() == b""
        assert asyncio.get_running_loop().time() - began < 5
        writer.close()
        await writer.wait_closed()
