"""The line to the daemon: verdicts, lost lines, liveness, and strange daemons."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from agentbridged.errors import ConnectionLost, DaemonNotRunning, DaemonSilent, Refused
from agentbridged.identity import started
from agentbridged.machines.recovery import Dormant, Reason, Recovery
from agentbridged.mcp.connection import Connection, daemon_is_alive
from agentbridged.mcp.session import Session
from agentbridged.paths import Paths
from agentbridged.wire.claude import Message, Notice
from tests.mcp.scripted_daemon import WAIT, ScriptedDaemon, codex_says, paths_below, serving


@pytest.fixture
def paths(home: Path) -> Paths:
    return paths_below(home)


class Line:
    """A connection at work and what it said."""

    def __init__(self, paths: Paths, home: Path) -> None:
        self.messages: list[Message] = []
        self.notices: list[Notice] = []
        self.unseated: list[Reason] = []
        self.seats = 0
        self.told = asyncio.Event()
        session = Session(
            {"HOME": str(home), "CLAUDE_CODE_SESSION_ID": "s-1"}, parent=os.getpid(), cwd=home
        )
        self.connection = Connection(
            paths,
            session,
            Recovery(jitter=lambda: 0.0),
            on_message=self.messages.append,
            on_notice=self._told,
            on_seated=self._seated,
            on_unseated=self.unseated.append,
        )

    def _seated(self) -> None:
        self.seats += 1

    async def seat(self) -> bool:
        """Wait for the seat, or for a verdict."""
        return await self.connection.seat(asyncio.get_running_loop().time() + WAIT)

    def _told(self, notice: Notice) -> None:
        self.notices.append(notice)
        self.told.set()


@asynccontextmanager
async def line(paths: Paths, home: Path) -> AsyncIterator[Line]:
    made = Line(paths, home)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(w()) for w in (made.connection.run, made.connection.tell)]
        yield made
        await made.connection.detach()
        for task in running:
            task.cancel()


@pytest.mark.realtime
async def test_it_attaches_with_who_it_is_and_hears_the_daemon(home: Path, paths: Paths) -> None:
    async with serving(paths) as daemon, line(paths, home) as it:
        assert await it.seat()
        await daemon.notify("message", codex_says(1, "four", colour="unknown member"))
        await daemon.notify("notice", {"kind": "k", "text": "t"})
        await daemon.notify("a_newer_notification", {})
        assert await it.connection.call("status", {}, dict, within=WAIT)
        (attach,) = daemon.named("attach")
        assert attach == {
            "contract": 1,
            "project_dir": str(home),
            "session_id": "s-1",
            "claude_pid": os.getpid(),
            "take_over": False,
        }
        assert [m.text for m in it.messages] == ["four"]
        assert [n.text for n in it.notices] == ["t"]


@pytest.mark.realtime
async def test_something_malformed_is_passed_over(home: Path, paths: Paths) -> None:
    async with serving(paths) as daemon, line(paths, home) as it:
        assert await it.seat()
        for frame in ("no json", b"\xff\x00", '{"jsonrpc":"2.0","method":"message","params":{}}'):
            await daemon.connections[-1].send(frame)
        await daemon.notify("message", codex_says(1, "four"))
        assert await it.connection.call("status", {}, dict, within=WAIT)
        assert [m.text for m in it.messages] == ["four"]
        assert len(daemon.connections) == 1


@pytest.mark.realtime
@pytest.mark.requirement("S9")
async def test_a_lost_line_comes_back_by_itself_and_nobody_is_told(
    home: Path, paths: Paths
) -> None:
    async with serving(paths) as daemon, line(paths, home) as it:
        assert await it.seat()
        await daemon.close(1012, "restart")
        await daemon.until(lambda: len(daemon.connections) == 2)
        assert await it.seat()
        assert (it.unseated, it.seats, it.notices) == ([Reason.DISCONNECTED], 2, [])


@pytest.mark.realtime
@pytest.mark.requirement("S4")
async def test_a_rejected_session_makes_one_connection_and_no_storm(
    home: Path, paths: Paths
) -> None:
    daemon = ScriptedDaemon()
    daemon.refuse = (4001, "seat held by pid 4242 since 10:03")
    async with serving(paths, daemon), line(paths, home) as it:
        assert not await it.seat()
        assert not await it.seat()
        assert it.connection.recovery.phase == Dormant()
        with pytest.raises(DaemonNotRunning, match="4242"):
            await it.connection.call("send", {}, dict, within=WAIT)
        assert len(daemon.named("attach")) == 1
        assert it.notices == []


@pytest.mark.realtime
@pytest.mark.requirement("S8")
async def test_an_eviction_is_told_at_once_in_the_daemons_words(home: Path, paths: Paths) -> None:
    async with serving(paths) as daemon, line(paths, home) as it:
        assert await it.seat()
        await daemon.close(4002, "taken over by pid 77")
        async with asyncio.timeout(WAIT):
            await it.told.wait()
        assert "taken over by pid 77" in it.notices[0].text
        assert it.unseated == [Reason.EVICTED]


@pytest.mark.realtime
async def test_each_failure_of_a_call_is_told_apart(home: Path, paths: Paths) -> None:
    daemon = ScriptedDaemon()
    async with serving(paths, daemon), line(paths, home) as it:
        assert await it.seat()
        refusal = {"code": -32000, "message": "paused by ada", "data": {"kind": "paused"}}
        daemon.on_send = lambda params: {"error": refusal}
        with pytest.raises(Refused, match="paused by ada") as refused:
            await it.connection.call("send", {}, dict, within=WAIT)
        assert refused.value.kind == "paused"
        daemon.on_send = lambda params: {"method": "not an answer"}
        with pytest.raises(DaemonSilent):
            await it.connection.call("send", {}, dict, within=0.1)
        daemon.on_send = lambda params: None
        with pytest.raises(ConnectionLost):
            await it.connection.call("send", {}, dict, within=WAIT)


@pytest.mark.realtime
async def test_after_clear_the_seat_is_kept_under_the_new_session_id(
    home: Path, paths: Paths
) -> None:
    async with serving(paths) as daemon, line(paths, home) as it:
        assert await it.seat()
        folder = home / ".claude" / "sessions"
        folder.mkdir(parents=True)
        record = folder / f"{os.getpid()}.json"
        record.write_text('{"sessionId":"s-2"}', encoding="utf-8")
        for _ in range(2):
            await it.connection.call("status", {}, dict, within=WAIT)
        assert [a["session_id"] for a in daemon.named("attach")] == ["s-1", "s-2"]


@pytest.mark.realtime
@pytest.mark.requirement("S5")
async def test_a_person_gets_the_seat_by_asking(home: Path, paths: Paths) -> None:
    daemon = ScriptedDaemon()
    daemon.refuse = (4001, "held")
    async with serving(paths, daemon), line(paths, home) as it:
        assert not await it.connection.ask(take_over=False)
        assert it.connection._notices.next_deadline() is None, "the answer said it"
        daemon.refuse = None
        assert await it.connection.ask(take_over=True)
        assert daemon.named("attach")[-1]["take_over"] is True


@pytest.mark.requirement("S7")
def test_the_daemon_lives_if_its_very_process_does(paths: Paths) -> None:
    def lock(pid: int, create_time: float) -> bool:
        content = {"pid": pid, "create_time": create_time, "version": "1"}
        paths.lock_file.write_text(json.dumps(content), encoding="utf-8")
        return daemon_is_alive(paths)

    assert not daemon_is_alive(paths)
    born = started(psutil.Process())
    assert lock(os.getpid(), born)
    assert not lock(os.getpid(), born - 100)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    child_born = started(psutil.Process(child.pid))
    assert lock(child.pid, child_born)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not lock(child.pid, child_born), "a zombie does not live"
    child.communicate()
    assert not lock(child.pid, child_born)
    for strange in ("", "{", "[]", '{"pid":"x"}'):
        paths.lock_file.write_text(strange, encoding="utf-8")
        assert not daemon_is_alive(paths)
