"""The daemon as a process: out of file descriptors, stopped, under a clock that jumps."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from websockets.asyncio.client import unix_connect

from agentbridged.admin.client import AdminClient
from agentbridged.machines.gate import PROBE_TIMEOUT_S
from tests.claude.hall import Shim
from tests.lab.waiting import until
from tests.test_daemon import Service

pytestmark = pytest.mark.realtime

FAKETIME = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)


class Desk:
    """A daemon, one project, and a person's connection to it."""

    def __init__(self, service: Service, daemon: subprocess.Popen[bytes]) -> None:
        self.service, self.daemon = service, daemon
        self.run = service.directory / "run"
        self.project = service.directory / "project"
        self.project.mkdir(exist_ok=True)
        self.person = AdminClient(self.run / "admin.sock", 60)
        self.place = {"project_dir": str(self.project)}

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        return self.person.call_as(dict[str, Any], method, params)

    def send(self, text: str) -> None:
        self.ask("message.send", **self.place, text=text)

    def texts(self) -> list[str]:
        found = self.ask("message.list", **self.place, limit=1000)["messages"]
        return [row["text"] for row in found]

    def log(self) -> str:
        return self.service.log.read_text(encoding="utf-8")

    def proxy(self) -> int:
        """Wait until the proxy runs, and return its pid."""
        return int(
            until(
                lambda: (p := self.ask("status")["proxy"])["state"] == "RUNNING" and p["pid"],
                "the proxy runs",
            )
        )

    @asynccontextmanager
    async def shim(self) -> AsyncIterator[Shim]:
        path = str(self.run / "claude.sock")
        async with unix_connect(path, compression=None, ping_interval=None) as ws:
            yield Shim(ws)

    def attach(self, session: str) -> dict[str, Any]:
        return {"project_dir": str(self.project), "session_id": session}


@contextmanager
def desk_of(service: Service, *, ends_with: int = 0, **variables: str) -> Iterator[Desk]:
    with service.running(ends_with=ends_with, **variables) as daemon:
        desk = Desk(service, daemon)
        with desk.person:
            yield desk


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path)
    yield service
    service.manager.close()


# File descriptors


@contextmanager
def flood(path: Path, count: int) -> Iterator[None]:
    with ExitStack() as stack:
        for _ in range(count):
            guest = stack.enter_context(socket.socket(socket.AF_UNIX))
            guest.settimeout(30)
            guest.connect(str(path))
        yield


@pytest.mark.skipif(not hasattr(psutil, "RLIMIT_NOFILE"), reason="needs prlimit(2)")
async def test_used_up_descriptors_are_told_once_and_lose_nothing(service: Service) -> None:
    with desk_of(service) as desk:
        process = psutil.Process(desk.daemon.pid)
        desk.send("before")
        desk.proxy()
        async with desk.shim() as holder:
            assert "result" in await holder.attach(**desk.attach("s1"))
            limit = process.num_fds() + 6
            process.rlimit(psutil.RLIMIT_NOFILE, (limit, limit))
            with flood(desk.run / "admin.sock", 30), flood(desk.run / "claude.sock", 30):
                until(lambda: "no file descriptor is left" in desk.log(), "it says so")
                began = sum(process.cpu_times()[:2])
                for n in range(50):
                    desk.send(f"meanwhile {n}")
                sent = await holder.call("send", text="from the seat")
                assert sent["result"]["state"] == "accepted"
                assert sum(process.cpu_times()[:2]) - began < 5, "it does not spin"
            until(lambda: service.ask("status")["state"] == "running", "new ones are served")
            until(lambda: "descriptors again" in desk.log(), "it says so")
            told = [*(f"meanwhile {n}" for n in range(50)), "from the seat"]
            assert desk.texts() == ["before", *told]
            assert desk.ask("status")["bridges"][0]["claude"]["session_id"] == "s1"
        assert desk.log().count("no file descriptor is left") == 1
        assert "Traceback" not in desk.log()


# Stopped and continued


async def test_who_answered_while_the_daemon_stood_still_is_not_evicted(service: Service) -> None:
    with desk_of(service) as desk:
        process = psutil.Process(desk.daemon.pid)
        async with desk.shim() as holder, desk.shim() as newcomer:
            assert "result" in await holder.attach(**desk.attach("s1"))
            holder.go_silent()
            request = await newcomer.ask("attach", **_attach(desk, "s2"))
            async with desk.shim() as third:
                await third.ask("attach", **_attach(desk, "s3"))
                assert (await third.closed())[0] == 4001, "there is a contest already"
            process.suspend()
            holder.listen_again()  # its pong lies in the daemon's socket from now on
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(PROBE_TIMEOUT_S + 2):
                    await newcomer.answer(request)
            process.resume()
            assert (await newcomer.closed())[0] == 4001
            sent = await holder.call("send", text="still here")
            assert sent["result"]["state"] == "accepted"
        assert "evicted" not in desk.log()


def _attach(desk: Desk, session: str) -> dict[str, Any]:
    return {
        **{"contract": 1, "claude_pid": desk.daemon.pid, "take_over": False},
        **desk.attach(session),
    }


# The clock


@pytest.mark.skipif(FAKETIME is None, reason="needs libfaketime (apt install faketime)")
async def test_a_clock_that_jumps_moves_nobody_and_loses_nothing(service: Service) -> None:
    clock = service.directory / "clock"
    clock.write_text("+0", encoding="utf-8")
    jumping = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
    texts = []
    pid = 0
    for life, jumps in enumerate((("+0", "+7h", "-7h"), ("+30h", "-30h"))):
        with started(service, jumping) as desk:
            if life:
                assert desk.proxy() == pid, "it is adopted"
            async with desk.shim() as holder:
                assert "result" in await holder.attach(**desk.attach("s1"))
                for jump in jumps:
                    clock.write_text(jump, encoding="utf-8")
                    texts.append(f"{life} {jump}")
                    sent = await holder.call("send", text=texts[-1])
                    assert sent["result"]["state"] == "accepted"
                    assert desk.texts() == texts
                    (bridge,) = desk.ask("status")["bridges"]
                    assert bridge["claude"]["session_id"] == "s1"
                    assert bridge["to_codex"] == len(texts)
                    assert bridge["oldest_undelivered_s"] >= 0
                pid = desk.proxy()
    with desk_of(service) as desk:
        assert desk.texts() == texts
        assert desk.proxy() == pid
        rows = desk.ask("message.list", **desk.place)["messages"]
        hours = [int(datetime.fromisoformat(row["created_at"]).timestamp() // 3600) for row in rows]
        assert [hour - hours[0] for hour in hours] == pytest.approx([0, 7, -7, 30, -30], abs=1)
        assert "Traceback" not in desk.log()


@contextmanager
def started(service: Service, variables: dict[str, str]) -> Iterator[Desk]:
    """A daemon that dies at the end, and leaves its children to the next."""
    with desk_of(service, ends_with=-signal.SIGKILL, **variables) as desk:
        yield desk
        desk.daemon.send_signal(signal.SIGKILL)
        desk.daemon.wait()
