"""A real app-server on a scripted model, in a private CODEX_HOME."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from agentbridged import peercred
from tests.lab import agents, codex
from tests.lab.responses import ResponsesModel
from tests.lab.waiting import until


@dataclass
class RealServer:
    """An app-server that a test may stop and start again in the same home."""

    home: Path
    project: Path
    model: ResponsesModel
    process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return codex.control_socket(self.home)

    def start(self) -> None:
        """Start it, and wait until it listens."""
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [agents.codex_binary(), "app-server", "--listen", "unix://"],
                env={
                    "PATH": "/usr/bin:/bin",
                    "HOME": str(self.home),
                    "CODEX_HOME": str(self.home),
                    "MOCK_API_KEY": codex.API_KEY,
                },
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until(lambda: peercred.is_listening(self.socket), "the app-server listens")

    def kill(self) -> None:
        """``kill -9``."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(20)
        self.process = None

    def stop(self) -> None:
        """End it: again and again, since a waiting approval holds up the first signal for ever."""
        process, self.process = self.process, None
        if process is not None:
            for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
                process.send_signal(number)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(3)
                    return
            process.wait(20)


@pytest.fixture
def app_server() -> Iterator[RealServer]:
    homes = agents.cache_dir() / "worlds"  # not below /tmp: Codex would refuse it
    homes.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="c", dir=homes))
    project = home / "project"
    project.mkdir()
    model = ResponsesModel()
    model.start()
    codex.seed(home, port=model.port, projects=[project])
    server = RealServer(home, project, model)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        model.close()
        shutil.rmtree(home, ignore_errors=True)
