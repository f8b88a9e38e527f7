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

LAUNCHD: dict[str, type | tuple[type, ...]] = {
    "AbandonProcessGroup": bool,
    "EnvironmentVariables": dict,
    "ExitTimeOut": int,
    "KeepAlive": (bool, dict),
    "Label": str,
    "LimitLoadToSessionType": (str, list),
    "ProcessType": str,
    "ProgramArguments": list,
    "RunAtLoad": bool,
    "StandardErrorPath": str,
    "StandardOutPath": str,
    "ThrottleInterval": int,
    "Umask": int,
    "WorkingDirectory": str,
}
"""The keys of launchd.plist(5) that we use, and their types. A new one is looked up first."""


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


def fits(value: object, types: type | tuple[type, ...]) -> bool:
    """Return whether *value* is of *types*, where true and false are no integers."""
    allowed = types if isinstance(types, tuple) else (types,)
    return type(value) in allowed


def problems(plist: bytes) -> list[str]:
    """Return what launchd would refuse, ignore or take amiss."""
    job = plistlib.loads(plist)
    found = [f"unknown key {key}" for key in job if key not in LAUNCHD]
    found += [
        f"{key} is a {type(value).__name__}"
        for key, value in job.items()
        if key in LAUNCHD and not fits(value, LAUNCHD[key])
    ]
    paths = [job["ProgramArguments"][0], job["WorkingDirectory"]]
    paths += [job["StandardOutPath"], job["StandardErrorPath"]]
    paths += job["EnvironmentVariables"]["PATH"].split(":")
    found += [f"{path} is not absolute" for path in paths if not path.startswith("/")]
    found += [f"{path} will not be expanded" for path in paths if set(path) & set("~$@")]
    if job["ProcessType"] not in {"Adaptive", "Background", "Interactive", "Standard"}:
        found.append("ProcessType")
    if not set(job["LimitLoadToSessionType"]) <= {"Aqua", "Background", "LoginWindow", "System"}:
        found.append("LimitLoadToSessionType")
    return found


def rendered() -> bytes:
    text = PLIST.read_text(encoding="utf-8")
    head, body = text.split("-->", 1)
    for name, value in {"PROGRAM": "/x/agentbridged", "HOME": "/Users/ann", "PATH": "/bin"}.items():
        body = body.replace(f"@{name}@", value)
    return (head + "-->" + body).encode()


def test_launchd_would_take_the_agent_as_it_is_meant() -> None:
    assert problems(rendered()) == []
    job = plistlib.loads(rendered())
    assert job["Label"] == PLIST.stem
    assert job["KeepAlive"] == {"SuccessfulExit": False}
    assert job["Umask"] == 0o077


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (b"<key>RunAtLoad</key>", b"<key>RunAtLoda</key>"),
        (b"<integer>45</integer>", b"<string>45</string>"),
        (b"<string>/x/agentbridged</string>", b"<string>agentbridged</string>"),
        (b"/Users/ann/Library", b"~/Library"),
    ],
)
def test_a_mistake_in_the_agent_would_be_heard(right: bytes, wrong: bytes) -> None:
    assert right in rendered()
    assert problems(rendered().replace(right, wrong)) != []


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

    def is_a(self, system: str) -> None:
        self.tool("uname", f"echo {system}")

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
    machine.is_a("Linux")
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
def test_the_installed_unit_starts_the_installed_daemon(installed: Machine, tmp_path: Path) -> None:
    unit = installed.home / ".config" / "systemd" / "user" / "agentbridge.service"
    assert f'ExecStart="{installed.home}/.local/share/agentbridge/venv/bin/agentbridged"' in (
        unit.read_text(encoding="utf-8")
    )
    assert "/usr/bin" not in unit.read_text(encoding="utf-8")
    assert complaints(unit, tmp_path) == []


@pytest.mark.end_to_end
@pytest.mark.timeout(600)
def test_installing_again_changes_nothing_and_says_what_to_do_next(installed: Machine) -> None:
    before = installed.found()
    said = installed.script("install.sh")
    assert installed.found() == before
    assert "systemctl --user enable --now agentbridge" in said
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
def test_on_a_mac_the_agent_is_installed_and_removed(installed: Machine) -> None:
    installed.is_a("Darwin")
    try:
        said = installed.script("install.sh")
        agent = installed.home / "Library" / "LaunchAgents" / PLIST.name
        assert problems(agent.read_bytes()) == []
        job = plistlib.loads(agent.read_bytes())
        daemon = installed.home / ".local" / "share" / "agentbridge" / "venv/bin/agentbridged"
        assert job["ProgramArguments"] == [str(daemon)]
        assert "launchctl bootstrap" in said
        installed.script("uninstall.sh")
        assert not agent.exists()
        assert "launchctl bootout" in installed.calls.read_text(encoding="utf-8")
    finally:
        installed.is_a("Linux")
    installed.script("install.sh")


@pytest.mark.end_to_end
@pytest.mark.timeout(600)
def test_uninstalling_leaves_only_what_is_the_users(installed: Machine) -> None:
    database = installed.home / ".local" / "state" / "agentbridge" / "agentbridge.db"
    database.parent.mkdir(parents=True)
    database.write_text("messages", encoding="utf-8")
    said = installed.script("uninstall.sh")
    assert installed.found() == [str(database.relative_to(installed.home))]
    assert str(database.parent) in said
    assert "systemctl --user disable --now agentbridge" in (
        installed.calls.read_text(encoding="utf-8")
    )
    installed.script("uninstall.sh")  # again, with nothing left to remove


def test_uninstalling_what_was_never_installed_is_no_error(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    Machine(tmp_path, tmp_path_factory.mktemp("tools")).script("uninstall.sh")
    assert list(tmp_path.iterdir()) == []


def test_a_machine_without_a_good_python_is_told_what_is_missing(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    machine = Machine(tmp_path, tmp_path_factory.mktemp("tools"))
    done = run(SCRIPTS[0], env={**machine.environment, "PYTHON": "no-such-python"})
    assert done.returncode == 1
    assert "Python 3.11" in done.stderr
    assert "Traceback" not in done.stderr
