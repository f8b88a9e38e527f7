import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from agentbridged.identity import Identity, identify, is_alive, is_stopped

PAUSE = [sys.executable, "-c", "import signal; signal.pause()"]


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(PAUSE) as started:
        yield started
        started.kill()


def known(process: subprocess.Popen[bytes]) -> Identity:
    found = identify(process.pid)
    assert found is not None
    return found


def test_a_running_process_is_alive_and_after_its_end_is_not(
    process: subprocess.Popen[bytes],
) -> None:
    identity = known(process)
    assert is_alive(identity)
    process.kill()
    process.wait()
    assert not is_alive(identity)
    assert identify(process.pid) is None


@pytest.mark.requirement("S6")
def test_a_zombie_is_dead(process: subprocess.Popen[bytes]) -> None:
    identity = known(process)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(identity)
    assert identify(process.pid) is None


@pytest.mark.requirement("S6", "S7")
def test_another_process_with_the_same_pid_is_not_the_one_meant(
    process: subprocess.Popen[bytes],
) -> None:
    identity = known(process)
    assert not is_alive(Identity(identity.pid, identity.create_time - 60))


@pytest.mark.requirement("S7")
def test_a_corrected_clock_does_not_make_a_process_another(
    process: subprocess.Popen[bytes],
) -> None:
    identity = known(process)
    assert is_alive(Identity(identity.pid, identity.create_time + 1))


@pytest.mark.parametrize("pid", [-1, 2**40])
def test_what_is_no_pid_is_nobody(pid: int) -> None:
    assert identify(pid) is None


def test_a_process_that_stands_still_lives_and_is_told_apart(
    process: subprocess.Popen[bytes],
) -> None:
    identity = known(process)
    assert not is_stopped(identity)
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
    assert is_stopped(identity)
    assert is_alive(identity)
    psutil.Process(process.pid).resume()
    process.kill()
    process.wait()
    assert not is_stopped(identity)
