"""The daemon as a process, without any agent: its start, its life as a service, its end."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agentbridged.admin.client import AdminClient
from agentbridged.errors import AgentBridgeError
from tests.lab.waiting import until

pytestmark = pytest.mark.realtime
ROOT = Path(__file__).parent.parent


class Service:
    """A daemon under a service manager that a test plays."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.config = directory / "config.toml"
        self.config.write_text('[codex]\nenvironment = "inherit"\n', encoding="utf-8")
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(str(directory / "notify"))
        self.manager.settimeout(30)
        self.log = directory / "log"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.directory),
            "AGENTBRIDGE_RUNTIME_DIR": str(self.directory / "run"),
            "AGENTBRIDGE_STATE_DIR": str(self.directory / "state"),
            "AGENTBRIDGE_CONFIG": str(self.config),
            "AGENTBRIDGE_CODEX": "/no/such/codex",
            "NOTIFY_SOCKET": str(self.directory / "notify"),
        }

    @contextmanager
    def running(self, *, ends_with: int = 0, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
        with (
            self.log.open("ab") as log,
            subprocess.Popen(
                [sys.executable, "-m", "agentbridged"],
                cwd=ROOT,
                env=self.environment | variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            ) as daemon,
        ):
            try:
                self.hear("READY=1")
                yield daemon
            finally:
                daemon.send_signal(signal.SIGTERM)
                assert daemon.wait(15) == ends_with

    def fails_to_start(self, **variables: str) -> subprocess.CompletedProcess[str]:
        """Start a daemon that ends by itself, and return how it ended and what it said."""
        return subprocess.run(
            [sys.executable, "-m", "agentbridged"],
            cwd=ROOT,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def hear(self, field: str) -> str:
        """Wait for a notification with this field."""
        while True:
            told = self.manager.recv(4096).decode()
            if field in told.split("\n"):
                return told

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        with AdminClient(self.directory / "run" / "admin.sock", 30) as client:
            return client.call_as(dict[str, Any], method, params)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path)
    yield service
    service.manager.close()


def test_it_is_ready_before_codex_is_and_says_what_is_missing(service: Service) -> None:
    with service.running():
        status = service.ask("status")
        assert status["state"] == "running"
        reason = until(lambda: service.ask("status")["app_server"]["reason"], "a reason")
        assert "AGENTBRIDGE_CODEX" in reason
        until(lambda: service.ask("status")["proxy"]["state"] == "RUNNING", "the proxy runs")


def test_it_tells_its_manager_of_its_end_and_leaves_nothing(service: Service) -> None:
    with service.running() as daemon:
        until(lambda: service.ask("status")["proxy"]["state"] == "RUNNING", "the proxy runs")
        proxy = service.ask("status")["proxy"]["pid"]
        daemon.send_signal(signal.SIGTERM)
        service.hear("STOPPING=1")
        assert daemon.wait(15) == 0
    assert not Path(f"/proc/{proxy}").exists()
    assert not [path for path in (service.directory / "run").iterdir() if path.is_socket()]


def test_it_feeds_the_watchdog(service: Service) -> None:
    with service.running(WATCHDOG_USEC="300000"):
        service.hear("WATCHDOG=1")
        service.hear("WATCHDOG=1")


def test_a_second_one_fails_and_names_the_first(service: Service) -> None:
    with service.running() as daemon:
        second = service.fails_to_start()
        assert second.returncode == 1
        assert second.stderr.count("\n") == 1
        assert str(daemon.pid) in second.stderr
        assert service.ask("status")["pid"] == daemon.pid


def test_a_reload_reads_the_configuration_and_keeps_the_old_when_the_new_is_wrong(
    service: Service,
) -> None:
    with service.running() as daemon:
        service.config.write_text("relay = 7\n", encoding="utf-8")
        with pytest.raises(AgentBridgeError, match="relay"):
            service.ask("config.reload")
        daemon.send_signal(signal.SIGHUP)
        service.hear("READY=1")
        until(lambda: b"stays as it was" in service.log.read_bytes(), "the log says so")
        service.config.write_text('relay = "replies"\n', encoding="utf-8")
        assert service.ask("config.reload")["config"] == str(service.config)


@pytest.mark.parametrize(
    ("variables", "config", "words"),
    [
        ({}, "relay = 7\n", "relay"),
        ({"AGENTBRIDGE_RUNTIME_DIR": "relative"}, "", "AGENTBRIDGE_RUNTIME_DIR"),
    ],
)
def test_a_wrong_setting_ends_the_start_with_one_line_that_names_it(
    service: Service, variables: dict[str, str], config: str, words: str
) -> None:
    service.config.write_text(config, encoding="utf-8")
    done = service.fails_to_start(**variables)
    assert (done.returncode, done.stderr.count("\n")) == (os.EX_CONFIG, 1)
    assert words in done.stderr


@pytest.mark.parametrize("name", ["admin.sock", "claude.sock"])
def test_something_in_the_way_of_a_socket_ends_the_start_with_one_line(
    service: Service, name: str
) -> None:
    (service.directory / "run" / name).mkdir(parents=True)
    done = service.fails_to_start()
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("agentbridged: ")
    assert f"{name} is in the way" in done.stderr.splitlines()[-1]
    assert "generation" not in done.stderr, "it started a child that it left behind"
