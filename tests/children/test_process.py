import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentbridged.children import logs
from agentbridged.children.liveness import Identity, is_alive, wait_for_end
from agentbridged.children.process import Launch, end_group, in_words, reap, send, spawn
from tests.lab.waiting import until

STUBBORN = Path(__file__).parent.parent / "fakes" / "stubborn_child.py"


class Nursery:
    """Spawns stubborn children and ends them with the test."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "logs" / "child.log"
        self.born: list[Identity] = []

    def spawn(self, *arguments: str) -> Identity:
        argv = [sys.executable, str(STUBBORN), *arguments]
        child = spawn(Launch(argv, {"PATH": os.environ["PATH"]}, self.log.parent.parent, self.log))
        self.born.append(child)
        until(lambda: "ready\n" in self.printed(), "the child's readiness")
        return child

    def printed(self) -> str:
        return self.log.read_text(encoding="utf-8") if self.log.exists() else ""


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    nursery = Nursery(tmp_path)
    yield nursery
    for child in nursery.born:
        end_group(child)
        until(lambda child=child: not is_alive(child), "its end")  # type: ignore[misc]
        reap(child)


async def ended(child: Identity) -> None:
    async with asyncio.timeout(30):
        await wait_for_end(child)


def test_a_child_has_its_own_session_no_input_and_a_private_log(nursery: Nursery) -> None:
    child = nursery.spawn()
    assert os.getsid(child.pid) == child.pid != os.getsid(0)
    assert Path(f"/proc/{child.pid}/fd/0").readlink() == Path("/dev/null")
    assert Path(f"/proc/{child.pid}/fd/2").readlink() == nursery.log
    assert nursery.log.stat().st_mode & 0o777 == 0o600


@pytest.mark.realtime
async def test_a_signal_ends_it_and_its_status_is_told_once(nursery: Nursery) -> None:
    child = nursery.spawn()
    send(child, signal.SIGTERM)
    await ended(child)
    assert reap(child) == -signal.SIGTERM
    assert reap(child) is None


def test_a_pid_that_is_anothers_now_gets_no_signal(nursery: Nursery) -> None:
    child = nursery.spawn()
    stranger = Identity(child.pid, child.create_time - 1000)
    send(stranger, signal.SIGKILL)
    end_group(stranger)
    assert is_alive(child)


@pytest.mark.realtime
async def test_what_a_dead_child_left_in_its_group_is_ended(nursery: Nursery) -> None:
    child = nursery.spawn("--grandchild")
    left = int(nursery.printed().split()[1])
    send(child, signal.SIGKILL)
    await ended(child)
    os.kill(left, 0)  # noqa: TID251 - only asks whether it is there
    end_group(child)
    until(lambda: not _is_there(left), "the grandchild's end")


def _is_there(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").split()[2]
    except FileNotFoundError:
        return False


def test_a_log_that_has_grown_long_is_begun_anew(
    nursery: Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "LIMIT", 5)
    nursery.spawn()
    nursery.spawn()
    assert nursery.printed() == "ready\n"
    assert nursery.log.with_name("child.log.1").read_text(encoding="utf-8") == "eady\n"


def test_a_program_that_is_missing_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        spawn(Launch([str(tmp_path / "none")], {}, tmp_path, tmp_path / "log"))


def test_an_end_is_put_in_words() -> None:
    assert in_words(-9) == "killed by SIGKILL"
    assert in_words(-60) == "killed by signal 60"
    assert in_words(3) == "exited with status 3"
    assert "unknown" in in_words(None)
