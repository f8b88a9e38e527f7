"""What a service manager and an installer are given: the unit, the LaunchAgent, the scripts."""

import json
import os
import plistlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentbridged import __version__

ROOT = Path(__file__).parent.parent
UNIT = ROOT / "systemd" / "agentbridge.service"
HARDENING = ROOT / "systemd" / "agentbridge.service.d" / "50-hardening.conf.example"
PLIST = ROOT / "launchd" / "org.agentbridge.agentbridged.plist"
SCRIPTS = [ROOT / "packaging" / "install.sh", ROOT / "packaging" / "uninstall.sh"]
NEWER_KEYS = ("RestartSteps", "RestartMaxDelaySec")
"""Known from systemd 254 on; an older one says that it ignores them."""


def run(*command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        **options,
    )


def complaints(unit: Path, scratch: Path) -> list[str]:
    """Return what systemd says against *unit*; its exit status is 0 even for an unknown key."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not on this machine")
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(scratch), "LC_ALL": "C"}
    done = run("systemd-analyze", "--user", "--man=no", "verify", unit, env=environment)
    lines = [line for line in done.stderr.splitlines() if unit.name in line]
    assert lines or done.returncode == 0, done.stderr
    return [line for line in lines if not any(f"'{key}'" in line for key in NEWER_KEYS)]


def with_real_programs(unit: str) -> str:
    return re.sub(r"^(Exec\w+)=/usr/bin/agentbridge\w*", r"\1=/bin/true", unit, flags=re.M)


def test_systemd_has_nothing_against_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "agentbridge.service"
    unit.write_text(with_real_programs(UNIT.read_text(encoding="utf-8")), encoding="utf-8")
    assert complaints(unit, tmp_path) == []


def test_systemd_has_nothing_against_the_hardened_unit(tmp_path: Path) -> None:
    unit = tmp_path / "agentbridge.service"
    text = with_real_programs(UNIT.read_text(encoding="utf-8"))
    unit.write_text(text + HARDENING.read_text(encoding="utf-8"), encoding="utf-8")
    assert complaints(unit, tmp_path) == []


def test_a_mistake_in_the_unit_would_be_heard(tmp_path: Path) -> None:
    unit = tmp_path / "agentbridge.service"
    text = with_real_programs(UNIT.read_text(encoding="utf-8"))
    unit.write_text(text.replace("WatchdogSec", "WatchdogSex"), encoding="utf-8")
    assert any("WatchdogSex" in line for line in complaints(unit, tmp_path))


def settings(unit: Path) -> dict[str, str]:
    lines = unit.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def test_the_children_outlive_a_crash_of_the_daemon() -> None:
    unit = settings(UNIT)
    assert unit["KillMode"] == "process"
    assert unit["OOMPolicy"] == "continue"
    assert "RuntimeDirectory" not in unit  # systemd would delete it, sockets and all, at a restart
    assert plistlib.loads(PLIST.read_bytes())["AbandonProcessGroup"] is True


def test_the_unit_is_not_sandboxed_unless_somebody_asks() -> None:
    words = ("Private", "Protect", "Restrict", "SystemCall", "NoNewPrivileges", "MemoryDeny")
    assert [key for key in settings(UNIT) if key.startswith(words)] == []
    assert HARDENING.suffix == ".example"  # a name that systemd does not load


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.name)
def test_the_scripts_are_good_shell(script: Path) -> None:
    assert os.access(script, os.X_OK)
    checked = run("sh", "-n", script)
    assert checked.returncode == 0, checked.stderr
    if shutil.which("shellcheck"):
        linted = run("shellcheck", script)
        assert linted.returncode == 0, linted.stdout


class Machine:
    """A home of its own, with *system* as its kind, where the scripts run."""

    def __init__(self, home: Path, tools: Path) -> None:
        self.home = home
        self.tools = tools
        self.calls = tools / "calls"
        kept = {k: v for k, v in os.environ.items() if k.startswith("PIP_") or k == "LANG"}
        self.environment = {
            **kept,
            "HOME": str(home),
            "PATH": f"{tools}:/usr/bin:/bin",
            "PYTHON": sys.executable,
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        for name in ("systemctl", "launchctl"):  # must not touch the service of who runs the tests
            self.tool(name, f'echo "{name} $*" >> "{self.calls}"')

    def tool(self, name: str, body: str) -> None:
        """Put a program first on PATH."""
        path = self.tools / name
        path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        path.chmod(0o755)

    def program(self, name: str) -> Path:
        """Return where install.sh puts a program of ours."""
        return self.home / ".local" / "bin" / name

    def script(self, name: str) -> str:
        """Run a script of ``packaging/`` to its good end, and return what it said."""
        done = run(ROOT / "packaging" / name, env=self.environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def found(self) -> list[str]:
        """Return what there is in the home, but for what pip caches."""
        every = (p.relative_to(self.home) for p in self.home.rglob("*") if not p.is_dir())
        return sorted(str(p) for p in every if p.parts[:2] not in {(".cache", "pip")})


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    home = tmp_path_factory.mktemp("home of ann & bob")
    machine = Machine(home, tmp_path_factory.mktemp("tools"))
    yield machine
    shutil.rmtree(home)


@pytest.fixture(scope="module")
def installed(machine: Machine) -> Machine:
    """Return a machine on which install.sh ran; pip needs its index for what we depend on."""
    machine.script("install.sh")
    return machine


@pytest.mark.end_to_end
@pytest.mark.timeout(600)
@pytest.mark.parametrize("program", ["agentbridged", "agentbridgectl"])
def test_the_installed_programs_tell_their_version(installed: Machine, program: str) -> None:
    done = run(installed.program(program), "--version", env=installed.environment)
    assert __version__ in done.stdout, done.stderr


@pytest.mark.end_to_end
@pytest.mark.timeout(600)
def test_the_installed_mcp_server_answers_and_ends_with_its_input(installed: Machine) -> None:
    hello = {
        "jsonrpc": "2.0",
        "id": 0,
        "method": "initialize",
        "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {}},
    }
    done = run(
        installed.program("agentbridge-mcp"),
        env=installed.environment,
        input=json.dumps(hello) + "\n",
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["result"]["serverInfo"]["version"] == __version__


@pytest.mark.end_to_end
@pytest.mark.timeout(600)
@pytest.mark.parametrize("template", [UNIT, PLIST], ids=lambda p: p.suffix)
def test_what_is_installed_has_the_unit_and_the_agent(installed: Machine, template: Path) -> None:
    found = list(installed.home.rglob(f"agentbridged/service/{template.name}"))
    assert [path.read_bytes() for path in found] == [template.read_bytes()]


@pytest.mark.end_to_end
@pytest.mark.timeout(600)
def test_installing_again_changes_nothing_and_says_what_to_do_next(installed: Machine) -> None:
    before = installed.found()
    said = installed.script("install.sh")
    assert installed.found() == before
    assert "agentbridgectl service start" in said
    assert "agentbridgectl plugin install" in said


@pytest.mark.end_to_end
@pytest.mark.timeout(600)
def test_a_program_of_somebody_elses_is_not_overwritten(installed: Machine) -> None:
    theirs = installed.home / ".local" / "bin" / "agentbridged"
    theirs.unlink()
    theirs.write_text("theirs", encoding="utf-8")
    done = run(SCRIPTS[0], env=installed.environment)
    assert done.returncode == 1
    assert "is not ours" in done.stderr
    assert theirs.read_text(encoding="utf-8") == "theirs"
    theirs.unlink()


@pytest.mark.end_to_end
@pytest.mark.timeout(600)
def test_uninstalling_leaves_only_what_is_the_users(installed: Machine) -> None:
    database = installed.home / ".local" / "state" / "agentbridge" / "agentbridge.db"
    database.parent.mkdir(parents=True)
    database.write_text("messages", encoding="utf-8")
    said = installed.script("uninstall.sh")
    assert installed.found() == [str(database.relative_to(installed.home))]
    assert str(database.parent) in said
    installed.script("uninstall.sh")  # again, with nothing left to remove


def test_uninstalling_what_was_never_installed_is_no_error(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    Machine(tmp_path, tmp_path_factory.mktemp("tools")).script("uninstall.sh")
    assert list(tmp_path.iterdir()) == []


def with_ctl(machine: Machine, body: str) -> Path:
    """Give *machine* what install.sh would have made, with *body* as its agentbridgectl."""
    ctl = machine.home / ".local/share/agentbridge/venv/bin/agentbridgectl"
    ctl.parent.mkdir(parents=True)
    ctl.write_text(body, encoding="utf-8")
    ctl.chmod(0o755)
    machine.program("").mkdir(parents=True)
    machine.program(ctl.name).symlink_to(ctl)
    return ctl


def test_uninstalling_removes_nothing_while_the_service_cannot_go(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    machine = Machine(tmp_path, tmp_path_factory.mktemp("tools"))
    with_ctl(machine, "#!/bin/sh\n[ $1 = --version ] || { echo 'it runs' >&2; exit 1; }\n")
    before = machine.found()
    done = run(SCRIPTS[1], env=machine.environment)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "it runs"
    assert "nothing was removed" in done.stderr
    assert machine.found() == before


def test_what_is_broken_can_be_uninstalled_and_what_is_left_is_told(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    machine = Machine(tmp_path, tmp_path_factory.mktemp("tools"))
    ctl = with_ctl(machine, "#!/no/such/python\n")
    unit = tmp_path / ".config/systemd/user/agentbridge.service"
    unit.parent.mkdir(parents=True)
    unit.touch()
    said = machine.script("uninstall.sh")
    assert f"{ctl} does not run" in said
    assert str(unit) in said
    assert machine.found() == [str(unit.relative_to(tmp_path))]


def test_a_machine_without_a_good_python_is_told_what_is_missing(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    machine = Machine(tmp_path, tmp_path_factory.mktemp("tools"))
    done = run(SCRIPTS[0], env={**machine.environment, "PYTHON": "no-such-python"})
    assert done.returncode == 1
    assert "Python 3.11" in done.stderr
    assert "Traceback" not in done.stderr
