"""The unit as it is rendered; what becomes of it, ``tests/end_to_end/test_systemd.py`` shows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agentbridged import lock
from agentbridged.errors import Refused, Unavailable
from agentbridged.paths import Paths
from agentbridged.service import systemd
from agentbridged.service.contract import Programs
from agentbridged.service.systemd import MARK, Systemd, render
from agentbridged.service.tools import Done

UNIT = Path(__file__).parent.parent.parent / "systemd" / "agentbridge.service"
OURS = Programs(("/home/a b/agentbridged",), ("/usr/bin/python3", "-m", "agentbridged.ctl"))


def lines(text: str, key: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(f"{key}=")]


def test_every_program_is_the_installations_own() -> None:
    text = render(OURS, {})
    assert text.startswith(MARK)
    assert lines(text, "ExecStart") == ['ExecStart="/home/a b/agentbridged"']
    reload = 'ExecReload="/usr/bin/python3" "-m" "agentbridged.ctl" reload'
    assert lines(text, "ExecReload") == [reload]
    assert lines(text, "ExecStopPost") == ['ExecStopPost=-"/home/a b/agentbridged" --after-stop']
    assert "/usr/bin/agentbridge" not in text


def test_what_is_rendered_is_the_packages_unit_and_nothing_else() -> None:
    same = Programs(("/usr/bin/agentbridged",), ("/usr/bin/agentbridgectl",))
    text = render(same, {}).replace('"', "").removeprefix(f"{MARK}\n")
    assert text == UNIT.read_text(encoding="utf-8").replace('"', "")


def test_a_word_that_systemd_would_read_otherwise_is_quoted() -> None:
    text = render(Programs(('/x/50%/"\\/agentbridged',), ()), {})
    assert lines(text, "ExecStart") == ['ExecStart="/x/50%%/\\"\\\\/agentbridged"']


def test_the_shells_own_settings_are_carried_over() -> None:
    text = render(OURS, {"AGENTBRIDGE_CODEX": "/x y/codex"})
    assert lines(text, "Environment") == ['Environment="AGENTBRIDGE_CODEX=/x y/codex"']
    assert text.index("[Service]") < text.index("Environment=") < text.index("ExecStart=")


def test_a_path_with_a_line_break_is_refused() -> None:
    with pytest.raises(Refused, match="cannot name"):
        render(Programs(("/x\nExecStart=/y",), ()), {})


def test_a_unit_of_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    service = Systemd.__new__(Systemd)
    service.file = tmp_path / "agentbridge.service"
    service.file.write_text("[Service]\n", encoding="utf-8")
    with pytest.raises(Refused, match="is not ours"):
        service.install(OURS, linger=False)
    assert service.file.read_text(encoding="utf-8") == "[Service]\n"


def test_the_runtime_directory_of_another_user_is_not_taken_for_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "RUNTIME", tmp_path)
    monkeypatch.setattr("os.getuid", lambda: 4242)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert "XDG_RUNTIME_DIR" not in systemd._environment()


class Manager:
    """A user's systemd as far as a stop and an uninstallation ask it; and the daemon's program."""

    def __init__(self, directory: Path) -> None:
        self.shows = {"LoadState": "loaded", "ActiveState": "failed", "MainPID": "0"}
        self.calls: list[str] = []
        self.left: list[Programs] = []
        self.reachable, self.broken = True, False
        self.paths = Paths(directory, directory / "state", directory / "config.toml")
        self.service = Systemd(self.paths, directory, self._end_leftovers)
        self.service.file.parent.mkdir(parents=True)
        self.service.file.write_text(MARK, encoding="utf-8")

    def systemctl(self, *arguments: str) -> Done:
        if not self.reachable:
            raise Unavailable("nobody there")
        if arguments[0] == "show":
            name = arguments[-1].removeprefix("-p")
            return Done(0, f"{name}={self.shows.get(name, '')}\n", "")
        self.calls.append(" ".join(arguments))
        return Done(0, "", "")

    def _end_leftovers(self, programs: Programs) -> None:
        if self.broken:
            raise Refused("it cannot be run")
        self.left.append(programs)


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manager:
    manager = Manager(tmp_path)
    monkeypatch.setattr(systemd, "_systemctl", manager.systemctl)
    return manager


@pytest.mark.parametrize("reachable", [True, False])
def test_uninstalling_ends_what_a_failed_unit_left(manager: Manager, reachable: bool) -> None:
    manager.reachable = reachable
    assert manager.service.uninstall(OURS)[-1] == f"removed {manager.service.file}"
    assert manager.left == [OURS]
    assert not manager.service.file.exists()
    asked = [f"{verb} {systemd.UNIT}" for verb in ("stop", "disable")]
    assert manager.calls[:2] == (asked if reachable else [])


@pytest.mark.parametrize("state", ["failed", "active"])
def test_stopping_ends_what_no_exec_stop_post_follows(manager: Manager, state: str) -> None:
    manager.shows["ActiveState"] = state
    manager.service.stop(OURS)
    assert manager.left == [OURS]


@pytest.mark.parametrize("reachable", [True, False])
@pytest.mark.parametrize("pid", ["0", "1"])
def test_uninstalling_is_refused_whole_while_a_daemon_runs_outside_the_service(
    manager: Manager, reachable: bool, pid: str
) -> None:
    manager.reachable, manager.shows["MainPID"] = reachable, pid
    with lock.held(manager.paths.lock_file), pytest.raises(Refused, match="outside the service"):
        manager.service.uninstall(OURS)
    assert manager.service.file.exists()
    assert (manager.calls, manager.left) == ([], [])


def test_a_daemon_that_does_not_stop_keeps_its_unit(manager: Manager) -> None:
    manager.shows |= {"ActiveState": "active", "MainPID": str(os.getpid())}
    with lock.held(manager.paths.lock_file), pytest.raises(Refused, match=f"pid {os.getpid()}"):
        manager.service.uninstall(OURS)
    assert manager.service.file.exists()


def test_uninstalling_goes_on_where_the_daemon_is_broken(manager: Manager) -> None:
    manager.broken = True
    note, removed = manager.service.uninstall(OURS)
    assert "it cannot be run" in note
    assert removed == f"removed {manager.service.file}"
