"""Children whose daemon is gone, ended: real processes."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agentbridged.children import leftovers
from agentbridged.children.liveness import identify
from agentbridged.children.record import Record, save
from tests.lab.waiting import until

OBEDIENT = """
import pathlib, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(pathlib.Path(sys.argv[1]).touch()))
"""
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
WAIT = "print('up', flush=True); signal.pause()"


def start(path: Path, program: str) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", f"{program}\n{WAIT}", str(path.with_name("farewell"))],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert child.stdout is not None
    with child.stdout as said:
        assert said.readline() == "up\n"
    found = identify(child.pid)
    assert found is not None
    save(path, Record(pid=child.pid, create_time=found.create_time, generation=1))
    return child


@pytest.mark.realtime
def test_children_are_ended_gently_and_then_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "PATIENCE", 0.3)
    records = [tmp_path / "obedient", tmp_path / "stubborn"]
    obedient, stubborn = start(records[0], OBEDIENT), start(records[1], STUBBORN)
    left = leftovers.running(records)
    assert [one.pid for one in left] == [obedient.pid, stubborn.pid]
    leftovers.end(left)
    assert leftovers.running(records) == []
    assert (tmp_path / "farewell").exists()
    obedient.wait(10)
    stubborn.wait(10)


def test_who_has_the_number_of_a_dead_child_is_not_meant(tmp_path: Path) -> None:
    record = tmp_path / "record"
    save(record, Record(pid=1, create_time=5.0, generation=1))
    assert leftovers.running([record, tmp_path / "missing"]) == []


@contextmanager
def connected(path: Path) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        yield


@pytest.mark.realtime
def test_a_server_is_ended_when_its_last_client_has_gone_and_not_before(tmp_path: Path) -> None:
    program = (
        "import pathlib, signal, socket, sys, threading\n"
        "listener = socket.socket(socket.AF_UNIX)\n"
        "listener.bind(str(pathlib.Path(sys.argv[1]).with_name('s')))\n"
        "listener.listen()\n"
        "def serve():\n"
        "    while True:\n"
        "        one, _ = listener.accept()\n"
        "        one.recv(1)\n"
        "        one.close()\n"
        "threading.Thread(target=serve, daemon=True).start()\n"
    )
    server = start(tmp_path / "r", program)
    (known,) = leftovers.running([tmp_path / "r"])
    with connected(tmp_path / "s"):
        until(lambda: leftovers.clients(known) == 1, "the client is taken")
        assert not leftovers.end_unless_used(tmp_path / "r")
        assert leftovers.running([tmp_path / "r"]) == [known]
    until(lambda: leftovers.clients(known) == 0, "the client is gone")
    assert leftovers.end_unless_used(tmp_path / "r")
    assert leftovers.running([tmp_path / "r"]) == []
    assert leftovers.end_unless_used(tmp_path / "r")
    server.wait(10)
