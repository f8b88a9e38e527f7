import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from agentbridged import identity as identity_module
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
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts starts from the boot")
def test_a_set_clock_does_not_make_a_process_another(
    process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = known(process)
    boot_time = psutil.boot_time()
    monkeypatch.setattr(psutil._pslinux, "boot_time", lambda: boot_time - 3 * 3600)
    monkeypatch.setattr(psutil._pslinux, "BOOT_TIME", boot_time - 3 * 3600, raising=False)
    assert is_alive(identity)
    assert identify(process.pid) == identity


def test_a_start_written_down_with_two_decimals_is_still_the_same(
    process: subprocess.Popen[bytes],
) -> None:
    identity = known(process)
    assert is_alive(Identity(identity.pid, float(f"{identity.create_time:.2f}")))
    assert not is_alive(Identity(identity.pid, identity.create_time + 0.1))


@pytest.mark.skipif(sys.platform != "linux", reason="macOS keeps the time of day of the start")
def test_another_boot_never_has_the_same_process(
    process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    identity = known(process)
    other = tmp_path / "boot_id"
    other.write_text("01234567-0000-0000-0000-000000000000\n", encoding="ascii")
    monkeypatch.setattr(identity_module, "_BOOT_ID", other)
    identity_module._boot.cache_clear()
    assert not is_alive(identity)
    monkeypatch.setattr(identity_module, "_BOOT_ID", tmp_path / "none")
    identity_module._boot.cache_clear()
    found = known(process)
    assert 0 < found.create_time < 1e9
    monkeypatch.undo()
    identity_module._boot.cache_clear()


def test_a_program_may_be_called_anything(tmp_path: Path) -> None:
    program = tmp_path / "a) b (c"
    program.symlink_to(shutil.which("sleep") or "/bin/sleep")
    with subprocess.Popen([str(program), "60"]) as strange:
        found = known(strange)
        assert is_alive(found)
        strange.kill()


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
