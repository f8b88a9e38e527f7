"""The machine with a real systemd, on which the service and its packages are tried."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.machine import HOME, PERSON, STATE, Machine, why_not

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def own() -> Iterator[Machine]:
    """A machine of the test's own, on another network and without lingering."""
    if reason := why_not():
        pytest.skip(reason)
    with Machine.booted(linger=False) as machine:
        yield machine


def test_a_person_has_a_manager_a_bus_and_no_privileges(machine: Machine) -> None:
    told = machine.run("sh", "-c", "id -un; echo $XDG_RUNTIME_DIR; busctl --user list").stdout
    assert told.splitlines()[:2] == [PERSON, "/run/user/4242"]
    assert "org.freedesktop.systemd1" in told
    assert machine.run("systemctl", "--user", "is-system-running").stdout.strip() == "running"
    assert machine.run("touch", "/usr/x", check=False).returncode == 1


def test_a_status_output_and_input_pass_through(machine: Machine) -> None:
    done = machine.run(
        *("sh", "-c", 'cat; echo "$WORD" >&2; exit 7'),
        input="in",
        env={"WORD": "out"},
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr.strip()) == (7, "in", "out")


def test_this_checkout_and_its_python_can_be_used_there(machine: Machine) -> None:
    done = machine.run(sys.executable, "-c", "import agentbridged; print(agentbridged.__file__)")
    assert done.stdout.strip() == str(ROOT / "agentbridged" / "__init__.py")


def test_a_reboot_keeps_files_and_nothing_else(own: Machine) -> None:
    own.run("sh", "-c", "echo kept >~/file; echo lost >/tmp/file")
    own.reboot()
    assert own.run("sh", "-c", "cat ~/file; ls /tmp/file; id -un", check=False).stdout == (
        f"kept\n{PERSON}\n"
    )


def test_nothing_is_left_of_a_machine_and_nothing_got_out_of_it() -> None:
    if reason := why_not():
        pytest.skip(reason)
    with Machine.booted() as machine:
        machine.run("touch", "/usr/bin/of-the-machine", root=True)
        assert STATE.joinpath(machine.name).is_dir()
    assert not list(STATE.glob(f"{machine.name}*"))
    assert machine.name not in Path("/proc/self/mounts").read_text(encoding="utf-8")
    assert not Path("/usr/bin/of-the-machine").exists()
    assert not HOME.exists() or os.stat(HOME).st_uid != 4242
    groups = subprocess.run(
        ["find", "/sys/fs/cgroup", "-name", f"*{machine.name}*"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert groups.stdout == ""
