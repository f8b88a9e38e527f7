"""Children whose daemon is gone, ended: real processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agentbridged.children import leftovers
from agentbridged.children.liveness import identify
from agentbridged.children.record import Record, save

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
