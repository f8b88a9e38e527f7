"""The service as a person has it who installed agentbridge with pip: below a real systemd."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import agents
from tests.lab.machine import HOME, Machine
from tests.lab.service import SCRIPTS, Person, children

ROOT = Path(__file__).parent.parent.parent
UNIT = HOME / ".config/systemd/user/agentbridge.service"
HARDENING = ROOT / "systemd/agentbridge.service.d/50-hardening.conf.example"
RUNTIME = Path("/run/user/4242/agentbridge")
NEWER_KEYS = ("RestartSteps", "RestartMaxDelaySec")
"""Known from systemd 254 on; an older one says that it ignores them."""


@pytest.fixture(scope="module")
def ann(machine: Machine) -> Iterator[Person]:
    """A person with the service installed and not started."""
    person = Person(machine)
    person.link_programs()
    person.ctl("service", "install")
    yield person
    person.ctl("service", "uninstall", check=False)
    person.shell("rm -rf ~/.local ~/.config ~/bin ~/v2 ~/.codex")


@pytest.fixture
def running(ann: Person) -> Person:
    """The same with the service running."""
    if ann.property("ActiveState") != "active":
        ann.ctl("service", "start")
    return ann


def test_installing_again_changes_nothing_and_starts_nothing(ann: Person) -> None:
    before = ann.shell(f"stat -c %i%y {UNIT}; cat {UNIT}").stdout
    assert f'ExecStart="{HOME}/bin/agentbridged"' in before
    said = ann.ctl("service", "install").stdout
    assert "unchanged" in said
    assert "service start" in said
    assert ann.shell(f"stat -c %i%y {UNIT}; cat {UNIT}").stdout == before
    found = ann.service()
    assert (found["manager"], found["enabled"], found["state"]) == ("systemd", True, "inactive")


def test_systemd_has_nothing_against_the_installed_unit(ann: Person) -> None:
    done = ann.machine.run("systemd-analyze", "--user", "--man=no", "verify", UNIT, check=False)
    complaints = [
        line
        for line in done.stderr.splitlines()
        if "agentbridge" in line and not any(f"'{key}'" in line for key in NEWER_KEYS)
    ]
    assert complaints == []


def test_start_returns_when_the_daemon_serves(ann: Person) -> None:
    done = ann.shell(f"systemctl --user start agentbridge && {ann.bin}/agentbridgectl status")
    assert "running" in done.stdout
    assert ann.property("StatusText").startswith("app-server ")
    found = ann.service()
    assert found["state"] == "active"
    assert found["pid"] == int(ann.property("MainPID"))
    assert ann.property("NRestarts") == "0"


def test_a_daemon_that_stands_still_is_replaced_and_its_children_are_adopted(
    running: Person,
) -> None:
    running.drop_in("watchdog", "[Service]\nWatchdogSec=3s\nRestartSec=100ms\n")
    running.systemctl("restart", "agentbridge")
    before = running.status()
    running.systemctl("kill", "--kill-whom=main", "--signal=STOP", "agentbridge")
    running.wait_property("NRestarts", "1")
    running.wait_property("ActiveState", "active")
    after = running.status()
    assert children(after) == children(before)
    assert after["pid"] != before["pid"]
    running.wait_logged("Watchdog timeout")
    running.wait_logged("Fatal Python error: Aborted")  # and where it stood
    running.drop_in("watchdog", "")
    running.systemctl("restart", "agentbridge")


def test_a_reload_returns_when_the_settings_are_read_and_says_what_is_wrong(
    running: Person,
) -> None:
    config = HOME / ".config/agentbridge/config.toml"
    pid = running.property("MainPID")
    running.shell(f"mkdir -p {config.parent}; echo 'relay = \"replies\"' >{config}")
    running.systemctl("reload", "agentbridge")
    wrong = "relay: expected 'all' or 'replies'"
    running.shell(f"echo 'relay = 7' >{config}")
    try:
        running.systemctl("reload", "agentbridge", check=False)
        running.wait_logged(wrong)
        assert wrong in running.ctl("reload", check=False).stderr
    finally:
        running.shell(f"rm {config}")
    running.systemctl("reload", "agentbridge")
    assert running.property("MainPID") == pid
    assert running.property("ActiveState") == "active"


def test_after_an_upgrade_a_reload_hands_over_and_the_children_stay(running: Person) -> None:
    before = running.status()
    running.shell(f"mkdir ~/v2; cp -L {running.bin}/agentbridged ~/v2/")
    running.shell(f"ln -sf ~/v2/agentbridged {running.bin}/agentbridged")
    said = running.ctl("reload").stdout
    assert "restarts" in said
    running.wait_property("NRestarts", "1")
    running.wait_property("ActiveState", "active")
    after = running.status()
    assert children(after) == children(before)
    assert after["pid"] != before["pid"]


@pytest.mark.parametrize("hardened", [False, True], ids=["as shipped", "hardened"])
def test_codex_can_still_sandbox_below_the_unit(running: Person, hardened: bool) -> None:
    try:
        if hardened:
            running.drop_in("50-hardening", HARDENING.read_text(encoding="utf-8"))
        # It runs as the daemon does; a failure fails the start.
        probe = f"ExecStartPost={agents.codex_binary()} sandbox -- true"
        running.drop_in("probe", f"[Service]\n{probe}\n")
        running.systemctl("restart", "agentbridge")
        assert running.property("NoNewPrivileges") == ("yes" if hardened else "no")
        running.status()
    finally:
        running.drop_in("50-hardening", "")
        running.drop_in("probe", "")


def test_a_socket_of_the_persons_own_is_taken_over(running: Person) -> None:
    socket = "[Socket]\nListenStream=%t/agentbridge/admin.sock\nFileDescriptorName=admin\n"
    file = UNIT.with_suffix(".socket")
    running.systemctl("stop", "agentbridge")
    running.machine.run("sh", "-c", f"cat >{file}", input=f"{socket}SocketMode=0600\n")
    try:
        running.systemctl("daemon-reload")
        running.systemctl("start", "agentbridge.socket")
        assert "running" in running.ctl("status").stdout
        running.systemctl("stop", "agentbridge", "agentbridge.socket")
        running.expect_nothing_left()
    finally:
        running.shell(f"systemctl --user stop agentbridge.socket; rm {file}")
        running.systemctl("daemon-reload")


def test_a_stop_leaves_nothing(running: Person) -> None:
    running.status()
    running.systemctl("stop", "agentbridge")
    running.expect_nothing_left()
    assert running.property("Result") == "success"
    assert running.ctl("service", "stop").stdout.strip() == "it was not running"
    assert running.ctl("service", "status", check=False).returncode == 3


def test_a_stop_of_a_daemon_that_hangs_leaves_nothing(running: Person) -> None:
    running.drop_in("patience", "[Service]\nTimeoutStopSec=1s\n")
    running.status()
    # It reads this pipe for ever when it is told to read its settings.
    running.shell("mkdir -p ~/.config/agentbridge; mkfifo ~/.config/agentbridge/config.toml")
    try:
        running.systemctl("kill", "--kill-whom=main", "--signal=HUP", "agentbridge")
        assert running.ctl("--timeout", "0.5", "status", check=False).returncode == 4
        running.systemctl("stop", "agentbridge")
        running.expect_nothing_left()
        assert running.property("Result") == "timeout"
    finally:
        running.shell("rm ~/.config/agentbridge/config.toml")
        running.drop_in("patience", "")


def test_a_crash_loop_ends_and_says_why(ann: Person) -> None:
    ann.systemctl("stop", "agentbridge")
    ann.drop_in("hurry", "[Service]\nRestartSec=100ms\nRestartMaxDelaySec=100ms\n")
    ann.shell(f"rm -f {RUNTIME}/admin.sock; mkdir -p {RUNTIME}/admin.sock")
    try:
        ann.systemctl("start", "agentbridge", check=False)
        ann.wait_property("ActiveState", "failed")
        ann.wait_logged("repeated too quickly")
        ann.expect_nothing_left()
        notes = ann.service()["notes"]
        assert any("in the way" in note for note in notes), notes
        refused = ann.ctl("service", "start", check=False)
        assert refused.returncode == 1
        assert "in the way" in refused.stderr
    finally:
        ann.systemctl("stop", "agentbridge")
        ann.shell(f"rmdir {RUNTIME}/admin.sock")
        ann.drop_in("hurry", "")
    ann.ctl("service", "start")


def test_a_daemon_outside_the_service_is_in_its_way(ann: Person) -> None:
    ann.systemctl("stop", "agentbridge")
    own = "systemd-run --user --unit=by-hand --setenv=AGENTBRIDGE_CODEX --service-type=exec"
    ann.shell(f"{own} {ann.bin}/agentbridged")
    try:
        ann.status()
        refused = ann.ctl("service", "start", check=False)
        assert refused.returncode == 1
        assert "outside the service" in refused.stderr
        refused = ann.ctl("service", "uninstall", check=False)
        assert refused.returncode == 1
        assert "outside the service" in refused.stderr
        assert ann.service()["enabled"] is True
    finally:
        ann.systemctl("stop", "by-hand")
    ann.expect_nothing_left()


@pytest.mark.parametrize("verb", ["stop", "uninstall"])
def test_what_a_failed_unit_left_ends_with_it(ann: Person, verb: str) -> None:
    ann.ctl("service", "start")
    ann.drop_in("once", "[Service]\nRestart=no\n")
    try:
        ann.status()
        ann.systemctl("kill", "--kill-whom=main", "--signal=KILL", "agentbridge")
        ann.wait_property("ActiveState", "failed")
        assert len(ann.left()) >= 2
        ann.ctl("service", verb)
        assert ann.left() == []
    finally:
        ann.drop_in("once", "")
        ann.ctl("service", "install")


def test_what_is_broken_can_be_uninstalled(ann: Person) -> None:
    ann.ctl("service", "start")
    ann.status()
    ann.shell(f"mv {ann.bin}/agentbridged ~/aside; printf '#!/bin/false' >{ann.bin}/agentbridged")
    try:
        ann.shell(f"chmod +x {ann.bin}/agentbridged")
        assert "could not be ended" in ann.ctl("service", "uninstall").stdout
        ann.expect_nothing_left()
    finally:
        ann.shell(f"mv -f ~/aside {ann.bin}/agentbridged")
        ann.ctl("service", "install")


def test_without_the_variables_of_a_login_the_manager_is_found_all_the_same(
    running: Person,
) -> None:
    for bare in ("-u XDG_RUNTIME_DIR", "XDG_RUNTIME_DIR=/run/user/0"):
        clean = f"env -u DBUS_SESSION_BUS_ADDRESS {bare}"
        done = running.shell(f"{clean} {running.bin}/agentbridgectl service status")
        assert "systemd: active" in done.stdout


def test_a_user_without_a_manager_is_told_how_to_get_one(ann: Person) -> None:
    ann.machine.run("useradd", "--uid", "4343", "bob", root=True)
    bob = ("setpriv", "--reuid=4343", "--regid=4343", "--clear-groups")
    bare = (*bob, "env", "-i", "HOME=/tmp")
    done = ann.machine.run(
        *bare, SCRIPTS / "agentbridgectl", "service", "install", root=True, check=False
    )
    assert done.returncode == 1
    assert "sudo loginctl enable-linger bob" in done.stderr


def test_linger_is_asked_for_told_of_and_survives_a_reboot(ann: Person) -> None:
    ann.machine.run("loginctl", "disable-linger", "ann", root=True)
    found = ann.service()
    assert found["lingers"] is False
    assert any("log out" in note for note in found["notes"])
    ann.machine.run("sh", "-c", "systemctl mask --runtime --now polkit.service", root=True)
    denied = ann.ctl("service", "install", "--linger", check=False)
    assert denied.returncode == 1
    assert "sudo loginctl enable-linger ann" in denied.stderr
    ann.machine.run("systemctl", "unmask", "--runtime", "polkit.service", root=True)
    if ann.ctl("service", "install", "--linger", check=False).returncode:  # no polkit here
        ann.machine.run("loginctl", "enable-linger", "ann", root=True)
    ann.machine.reboot()
    ann.wait_property("ActiveState", "active")
    assert ann.service()["lingers"] is True
    ann.status()


def test_a_masked_unit_is_not_fought_with(ann: Person) -> None:
    ann.ctl("service", "uninstall")
    ann.systemctl("mask", "agentbridge")
    for verb in ("install", "start"):
        refused = ann.ctl("service", verb, check=False)
        assert refused.returncode == 1
        assert "unmask" in refused.stderr
    ann.systemctl("unmask", "agentbridge")
    assert "not installed" in ann.ctl("service", "start", check=False).stderr
    ann.ctl("service", "install")


def test_uninstalling_stops_it_and_leaves_only_what_is_the_persons(ann: Person) -> None:
    ann.ctl("service", "start")
    ann.status()
    ann.ctl("service", "uninstall")
    ann.expect_nothing_left()
    assert ann.shell("find ~/.config -name '*agentbridge*' -type f").stdout == ""
    assert ann.shell("ls ~/.local/state/agentbridge").stdout.startswith("agentbridge.db")
    assert "nothing" in ann.ctl("service", "uninstall").stdout
    assert ann.property("LoadState") == "not-found"
