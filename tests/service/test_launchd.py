"""The LaunchAgent: as it is rendered, as the installer loads it, as launchd runs it."""

from __future__ import annotations

import os
import plistlib
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil
import pytest

from agentbridged import lock
from agentbridged.admin.client import AdminClient
from agentbridged.errors import AgentBridgeError, Refused
from agentbridged.identity import identify
from agentbridged.notify import LABEL
from agentbridged.paths import Paths
from agentbridged.service import launchd
from agentbridged.service.contract import Programs
from agentbridged.service.launchd import Launchd, render
from tests.lab.waiting import until
from tests.service.agent import problems

FAKES = Path(__file__).parent.parent / "fakes"
OURS = Programs(("/opt/a b/agentbridged",), ("/opt/a b/agentbridgectl",))
HOME = Path("/Users/ann & bob")
SEARCH = "/opt/homebrew/bin:relative::/usr/bin:/opt/homebrew/bin"


def rendered(**variables: str) -> bytes:
    return render(OURS, HOME, SEARCH, variables).encode()


def test_launchd_would_take_the_agent_as_it_is_meant() -> None:
    assert problems(rendered(AGENTBRIDGE_CODEX="/x <y>")) == []
    job = plistlib.loads(rendered(AGENTBRIDGE_CODEX="/x <y>"))
    assert job["Label"] == LABEL
    assert job["ProgramArguments"] == list(OURS.daemon)
    assert job["KeepAlive"] == {"SuccessfulExit": False}
    assert job["AbandonProcessGroup"] is True
    assert job["Umask"] == 0o077
    assert job["EnvironmentVariables"] == {
        "AGENTBRIDGE_CODEX": "/x <y>",
        "PATH": "/opt/homebrew/bin:/usr/bin",
    }


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (b"<key>RunAtLoad</key>", b"<key>RunAtLoda</key>"),
        (b"<integer>45</integer>", b"<string>45</string>"),
        (b"<integer>10</integer>", b"<true/>"),
        (b"<key>SuccessfulExit</key>", b"<key>SucessfulExit</key>"),
        (b"<string>Interactive</string>", b"<string>interactive</string>"),
        (b"<string>Aqua</string>", b"<string>Gui</string>"),
        (b"<string>/opt/a b/agentbridged</string>", b"<string>agentbridged</string>"),
        (b"/Users/ann &amp; bob/Library", b"~/Library"),
        (b"</plist>", b""),
    ],
)
def test_a_mistake_in_the_agent_would_be_heard(right: bytes, wrong: bytes) -> None:
    assert right in rendered()
    assert problems(rendered().replace(right, wrong)) != []


class Mac:
    """A home, and a launchctl that remembers."""

    def __init__(self, home: Path, state: Path) -> None:
        self.state = state
        self.serving = True
        self.left: list[Programs] = []
        self.broken = False
        self.paths = Paths(home / "run", home / "state", home / "config.toml")
        self.paths.runtime.mkdir()
        self.service = Launchd(
            self.paths, home, lambda: SEARCH, lambda: self.serving, self._end_leftovers
        )

    def _end_leftovers(self, programs: Programs) -> None:
        if self.broken:
            raise Refused("it cannot be run")
        self.left.append(programs)

    @property
    def calls(self) -> list[str]:
        return (self.state / "calls").read_text(encoding="utf-8").splitlines()

    def does(self, verb: str) -> list[str]:
        return [call for call in self.calls if call.startswith(verb)]

    def log_in(self) -> None:
        (self.state / "gui").touch()


@pytest.fixture
def mac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mac:
    home, state, tools = (tmp_path / name for name in ("home", "state", "tools"))
    for directory in (home, state, tools):
        directory.mkdir()
    (tools / "launchctl").write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -S "{FAKES}/launchctl.py" "$@"\n', encoding="utf-8"
    )
    (tools / "launchctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_LAUNCHD", str(state))
    mac = Mac(home, state)
    mac.log_in()
    return mac


pytestmark = pytest.mark.realtime
USER = os.getuid()


def test_installing_writes_the_agent_and_loads_nothing(mac: Mac) -> None:
    mac.service.install(OURS, linger=False)
    assert problems(mac.service.file.read_bytes()) == []
    assert mac.service.file.stat().st_mode & 0o777 == 0o644
    assert not mac.state.joinpath("calls").exists() or not mac.does("bootstrap")
    assert any("unchanged" in note for note in mac.service.install(OURS, linger=False))


def test_starting_enables_loads_and_waits(mac: Mac) -> None:
    mac.service.install(OURS, linger=False)
    (mac.state / "disabled").touch()
    assert mac.service.start(OURS) == ["it serves, pid 4711"]
    assert mac.does("bootstrap") == [f"bootstrap gui/{USER} {mac.service.file}"]
    assert mac.service.start(OURS) == ["it runs already"]
    assert len(mac.does("bootstrap")) == 1
    found = mac.service.status()
    assert (found.state, found.pid, found.installed) == ("running", 4711, True)


def test_stopping_waits_for_the_end_and_ends_what_is_left(mac: Mac) -> None:
    mac.service.install(OURS, linger=False)
    mac.service.start(OURS)
    mac.service.stop(OURS)
    assert mac.left == [OURS]
    assert mac.service.status().pid is None
    assert mac.service.stop(OURS) == ["it was not running"]
    assert mac.left == [OURS, OURS]


def test_a_bootstrap_that_comes_too_soon_is_tried_again(mac: Mac) -> None:
    mac.service.install(OURS, linger=False)
    (mac.state / "lingering").write_text("5", encoding="utf-8")
    domain = f"gui/{USER}"
    mac.service._bootstrap(domain)
    assert len(mac.does("bootstrap")) > 1
    assert mac.service.status().pid == 4711


def test_a_bootstrap_that_never_works_is_given_up(
    mac: Mac, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launchd, "SOON", 0.5)
    mac.service.install(OURS, linger=False)
    (mac.state / "lingering").write_text("1000", encoding="utf-8")
    with pytest.raises(Refused, match="Input/output error"):
        mac.service._bootstrap(f"gui/{USER}")


def test_without_a_login_at_the_screen_it_runs_in_the_background(mac: Mac) -> None:
    (mac.state / "gui").unlink()
    mac.service.install(OURS, linger=False)
    notes = mac.service.start(OURS)
    assert mac.does("bootstrap") == [f"bootstrap user/{USER} {mac.service.file}"]
    assert any("nobody is logged in at the screen" in note for note in notes)


def test_uninstalling_leaves_nothing_and_may_be_repeated(mac: Mac) -> None:
    mac.service.install(OURS, linger=False)
    mac.service.start(OURS)
    mac.service.uninstall(OURS)
    assert mac.does("bootout")
    assert mac.left == [OURS]
    assert list(mac.service.file.parents[1].rglob("*gent*.*")) == []
    assert mac.service.uninstall(OURS) == ["nothing of it was here"]
    assert mac.left == [OURS, OURS]


@pytest.mark.parametrize("loaded", [True, False])
def test_uninstalling_is_refused_whole_while_a_daemon_runs_outside_the_service(
    mac: Mac, loaded: bool
) -> None:
    mac.service.install(OURS, linger=False)
    if loaded:
        mac.service.start(OURS)
    with lock.held(mac.paths.lock_file), pytest.raises(Refused, match="outside the service"):
        mac.service.uninstall(OURS)
    assert mac.service.file.exists()
    assert not mac.does("bootout")
    assert mac.left == []


def test_uninstalling_goes_on_where_the_daemon_is_broken(mac: Mac) -> None:
    mac.service.install(OURS, linger=False)
    mac.service.start(OURS)
    mac.broken = True
    note, _ = mac.service.uninstall(OURS)
    assert "it cannot be run" in note
    assert mac.does("bootout")
    assert not mac.service.file.exists()


def test_an_agent_of_somebody_elses_is_left_alone(mac: Mac) -> None:
    mac.service.file.parent.mkdir(parents=True)
    mac.service.file.write_text("theirs", encoding="utf-8")
    with pytest.raises(Refused, match="is not ours"):
        mac.service.install(OURS, linger=False)
    with pytest.raises(Refused, match="is not ours"):
        mac.service.uninstall(OURS)
    assert mac.service.file.read_text(encoding="utf-8") == "theirs"


def test_what_is_not_installed_cannot_be_started(mac: Mac) -> None:
    with pytest.raises(Refused, match="service install"):
        mac.service.start(OURS)


def test_launchd_starts_it_again_after_a_failure_and_not_after_an_end(tmp_path: Path) -> None:
    (tmp_path / "Library/Logs/agentbridge").mkdir(parents=True)
    script = tmp_path / "agentbridged"
    script.write_text(
        "#!/bin/sh\nenv >>seen; pwd >>seen; echo out; [ -e once ] || { touch once; exit 75; }\n",
        encoding="utf-8",
    )
    script.chmod(0o755)
    agent = tmp_path / "agent.plist"
    text = render(Programs((str(script),), ()), tmp_path, "/usr/bin:/bin", {"AGENTBRIDGE_X": "1"})
    agent.write_text(text.replace("<integer>10<", "<integer>1<"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, FAKES / "launchd.py", agent],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={"SECRET": "of the caller"},
    )
    events = [line.split()[0] for line in done.stdout.splitlines()]
    assert events == ["spawn", "exit", "throttled", "spawn", "exit", "done"]
    seen = (tmp_path / "seen").read_text(encoding="utf-8").splitlines()
    assert {"AGENTBRIDGE_X=1", f"XPC_SERVICE_NAME={LABEL}", str(tmp_path)} <= set(seen)
    assert not any("SECRET" in line for line in seen)
    log = tmp_path / "Library/Logs/agentbridge/agentbridged.log"
    assert log.read_text(encoding="utf-8") == "out\nout\n"


def test_the_real_daemon_is_started_again_below_launchd_and_its_children_are_adopted() -> None:
    with tempfile.TemporaryDirectory(prefix="ab", dir="/tmp") as directory:
        home = Path(directory)
        (home / "Library/Logs/agentbridge").mkdir(parents=True)
        config = home / "config.toml"
        config.write_text('[codex]\nenvironment = "inherit"\n', encoding="utf-8")
        where = {"RUNTIME_DIR": home / "run", "STATE_DIR": home / "state", "CONFIG": config}
        variables = {f"AGENTBRIDGE_{name}": str(path) for name, path in where.items()}
        ours = Programs((str(Path(sys.executable).with_name("agentbridged")),), ())
        agent = home / "agent.plist"
        text = render(ours, home, "/usr/bin:/bin", variables | {"AGENTBRIDGE_CODEX": "/no/codex"})
        agent.write_text(text.replace("<integer>10<", "<integer>1<"), encoding="utf-8")
        with subprocess.Popen(
            [sys.executable, FAKES / "launchd.py", agent], stdout=subprocess.PIPE, text=True
        ) as manager:
            try:
                first = proxy(home, None)
                psutil.Process(lock_holder(home)).kill()
                assert proxy(home, first["daemon"])["proxy"] == first["proxy"]
            finally:
                manager.terminate()
                said, _ = manager.communicate(timeout=60)
        assert said.splitlines()[-1] == "done"
        assert "exit 0" in said
        until(lambda: identify(first["proxy"]) is None, "the end of the proxy")


def lock_holder(home: Path) -> int:
    found = lock.holder(home / "run" / "agentbridged.lock")
    assert found is not None
    return found.pid


def proxy(home: Path, other_than: int | None) -> dict[str, int]:
    """Wait until another daemon serves with its proxy, and return the pids of both."""

    def serving() -> dict[str, int]:
        try:
            with AdminClient(home / "run" / "admin.sock", 30) as client:
                told = client.call_as(dict[str, Any], "status")
        except AgentBridgeError:
            return {}
        up = told["proxy"]["state"] == "RUNNING" and told["pid"] != other_than
        return {"daemon": told["pid"], "proxy": told["proxy"]["pid"]} if up else {}

    return until(serving, "the daemon serves with its proxy")
