import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agentbridged import lock
from agentbridged.errors import AlreadyRunning

HOLD = """
import sys
from pathlib import Path
from agentbridged import lock
with lock.held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_holder_says_who_it_is(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with lock.held(path):
        told = json.loads(path.read_text(encoding="utf-8"))
        assert told["pid"] == os.getpid()
        assert set(told) == {"pid", "create_time", "version"}
        assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text(encoding="utf-8") == ""


def test_the_holder_can_be_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert lock.holder(path) is None
    with lock.held(path):
        found = lock.holder(path)
        assert found is not None
        assert found.pid == os.getpid()
    assert lock.holder(path) is None


def test_a_second_start_fails_and_names_the_first_and_a_dead_one_holds_nothing(
    tmp_path: Path,
) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parent.parent,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(AlreadyRunning, match=str(holder.pid)), lock.held(path):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with lock.held(path):
            assert json.loads(path.read_text(encoding="utf-8"))["pid"] == os.getpid()
