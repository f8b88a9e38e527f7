"""The daemon as a process whose file descriptors are used up, and which is suspended."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from agentbridged.admin.client import AdminClient
from tests.lab.waiting import until
from tests.test_daemon import Service

pytestmark = pytest.mark.realtime


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path)
    yield service
    service.manager.close()


def limited(pid: int, limit: int) -> None:
    psutil.Process(pid).rlimit(psutil.RLIMIT_NOFILE, (limit, limit))


@contextmanager
def flood(path: Path, count: int) -> Iterator[None]:
    with ExitStack() as stack:
        for _ in range(count):
            guest = stack.enter_context(socket.socket(socket.AF_UNIX))
            guest.settimeout(30)
            guest.connect(str(path))
        yield


@pytest.mark.skipif(not hasattr(psutil, "RLIMIT_NOFILE"), reason="needs prlimit(2)")
def test_used_up_descriptors_are_told_once_and_lose_nothing(service: Service) -> None:
    run, project = service.directory / "run", service.directory / "project"
    project.mkdir()
    with service.running() as daemon, AdminClient(run / "admin.sock", 30) as known:
        place = {"project_dir": str(project)}
        known.call("message.send", {**place, "text": "before"})
        until(lambda: known.call_as(dict, "status")["proxy"]["state"] == "RUNNING", "the proxy")
        limited(daemon.pid, psutil.Process(daemon.pid).num_fds() + 6)
        with flood(run / "admin.sock", 30), flood(run / "claude.sock", 30):
            until(lambda: b"no file descriptor is left" in service.log.read_bytes(), "it says so")
            began = sum(psutil.Process(daemon.pid).cpu_times()[:2])
            for n in range(50):
                known.call("message.send", {**place, "text": f"meanwhile {n}"})
            status = known.call_as(dict, "status")
            assert status["proxy"]["state"] == "RUNNING"
            assert sum(psutil.Process(daemon.pid).cpu_times()[:2]) - began < 5, "it does not spin"
        until(lambda: service.ask("status")["state"] == "running", "new ones are served")
        until(lambda: b"descriptors again" in service.log.read_bytes(), "it says so")
        kept = known.call_as(dict, "message.list", {**place, "limit": 1000})["messages"]
        assert [row["text"] for row in kept] == ["before", *(f"meanwhile {n}" for n in range(50))]
    assert service.log.read_bytes().count(b"no file descriptor is left") == 1
    assert b"Traceback" not in service.log.read_bytes()
