"""Where there is no service manager: started apart from the terminal, and ended."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from agentbridged import lock
from agentbridged.errors import Refused
from agentbridged.paths import Paths
from agentbridged.service import plain
from agentbridged.service.contract import Programs
from agentbridged.service.plain import Plain

pytestmark = pytest.mark.realtime

DAEMON = """
import pathlib, signal, sys, threading
from agentbridged import lock
stop = threading.Event()
if "obedient" in sys.argv:
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
else:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with lock.held(pathlib.Path(sys.argv[1])):
    pathlib.Path(sys.argv[1] + ".serves").touch()
    while not stop.wait(0.05):
        pass
"""


class Container:
    """A place without a service manager."""

    def __init__(self, directory: Path) -> None:
        self.paths = Paths(directory, directory, directory / "config.toml")
        self.left: list[Programs] = []
        self.serves = Path(f"{self.paths.lock_file}.serves")
        self.service = Plain(self.paths, self.serves.exists, self.left.append)

    def programs(self, how: str = "obedient", code: str = DAEMON) -> Programs:
        return Programs((sys.executable, "-c", code, str(self.paths.lock_file), how), ())


@pytest.fixture
def container() -> Iterator[Container]:
    with tempfile.TemporaryDirectory(prefix="ab", dir="/tmp") as directory:
        container = Container(Path(directory))
        yield container
        if running := lock.holder(container.paths.lock_file):
            with contextlib.suppress(psutil.NoSuchProcess):
                psutil.Process(running.pid).kill()


def test_it_is_started_once_apart_from_the_terminal_and_stopped(container: Container) -> None:
    ours = container.programs()
    said = container.service.start(ours)
    found = container.service.status()
    assert found.state == "active"
    assert said[0].startswith(f"it serves, pid {found.pid}")
    assert any("nothing starts it after a crash" in note for note in said)
    assert found.pid is not None
    assert container.service.start(ours) == [f"it runs already, pid {found.pid}"]
    container.service.stop(ours)
    assert container.service.status().state == "inactive"
    assert container.left == [ours]


def test_uninstalling_ends_it_and_may_be_repeated(container: Container) -> None:
    ours = container.programs()
    container.service.start(ours)
    assert "it has ended" in container.service.uninstall(ours)[0]
    assert container.service.status().state == "inactive"
    assert container.service.uninstall(ours)[0] == "it was not running"
    assert container.left == [ours, ours]


def test_uninstalling_goes_on_where_the_daemon_is_broken(container: Container) -> None:
    def broken(programs: Programs) -> None:
        raise Refused("it cannot be run")

    container.service = Plain(container.paths, container.serves.exists, broken)
    container.service.start(container.programs())
    ended, note, _ = container.service.uninstall(container.programs())
    assert "it has ended" in ended
    assert "it cannot be run" in note
    assert container.service.status().state == "inactive"
    with pytest.raises(Refused, match="cannot be run"):  # a stop promises that nothing is left
        container.service.stop(container.programs())


def test_one_that_does_not_stop_is_killed(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain, "STOP_PATIENCE", 0.2)
    container.service.start(container.programs("stubborn"))
    assert "was killed" in container.service.stop(container.programs())[0]
    assert len(container.left) == 1


def test_one_that_cannot_start_says_why(container: Container) -> None:
    failing = container.programs(code="import sys; sys.exit('a: b is wrong')")
    with pytest.raises(Refused, match="status 1: a: b is wrong"):
        container.service.start(failing)


def test_stopping_what_does_not_run_still_ends_what_was_left(container: Container) -> None:
    assert container.service.stop(container.programs()) == ["it was not running"]
    assert len(container.left) == 1
