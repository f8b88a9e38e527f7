"""The real Codex TUI and app-server, on a scripted model, with the proxy between them."""

import contextlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentbridged.wire.link import (
    FromProxy,
    TuiCame,
    TuiLeft,
    TuiShows,
    Upstream,
    decode_from_proxy,
    encode,
)
from tests.lab import agents, codex
from tests.lab.responses import ResponsesModel
from tests.lab.terminal import Terminal
from tests.lab.waiting import until

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(300)]
ROOT = Path(__file__).parent.parent.parent
PROMPT = "›"
ROW = re.compile(r"^.{,6}\b(?:now|\d+\w ago)\b", re.MULTILINE)
"""A session in the picker begins with its age."""


class Stage:
    """A CODEX_HOME with its app-server, a proxy before it, and this test as the daemon."""

    def __init__(self, home: Path, short: Path, model: ResponsesModel) -> None:
        self.home, self.short, self.model = home, short, model
        self.project = home / "project"
        (self.project / ".git").mkdir(parents=True)
        codex.seed(home / ".codex", port=model.port, projects=[self.project])
        self.binary = str(agents.codex_binary())
        self.news: list[FromProxy] = []
        self.app_server: subprocess.Popen[bytes] | None = None
        self.proxy: subprocess.Popen[bytes] | None = None
        self.generation = 0
        self.ending = contextlib.ExitStack()

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.home),
            "CODEX_HOME": str(self.home / ".codex"),
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "HTTP_PROXY": "http://127.0.0.1:9",
            "NO_PROXY": "127.0.0.1,localhost",
            "MOCK_API_KEY": codex.API_KEY,
        }

    def start(self, name: str, *argv: str, env: dict[str, str]) -> subprocess.Popen[bytes]:
        with (self.home / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                argv, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.ending.callback(process.wait)
        self.ending.callback(process.kill)
        return process

    def start_app_server(self) -> None:
        path = self.short / "s"
        path.unlink(missing_ok=True)
        self.app_server = self.start(
            "app-server",
            *(self.binary, "app-server", "--listen", f"unix://{path}"),
            env=self.environment,
        )
        until(lambda: connectable(path), "the app-server's socket")

    def start_proxy(self) -> None:
        self.generation += 1
        self.proxy = self.start(
            "proxy",
            *(sys.executable, "-m", "agentbridged.proxy", "--generation", str(self.generation)),
            *("--codex-socket", str(self.short / "c"), "--link-socket", str(self.short / "l")),
            env={"PATH": "/usr/bin:/bin"},
        )
        until(lambda: connectable(self.short / "l"), "the proxy's socket")
        link = socket.socket(socket.AF_UNIX)
        self.ending.callback(link.close)
        link.connect(str(self.short / "l"))
        self.link = link
        listener = threading.Thread(target=self._listen, args=(link,))
        listener.start()
        self.ending.callback(listener.join, 10)
        self.ending.callback(link.shutdown, socket.SHUT_RDWR)

    def _listen(self, link: socket.socket) -> None:
        with contextlib.suppress(OSError), link.makefile("rb") as lines:
            self.news += map(decode_from_proxy, lines)

    def name_app_server(self, path: str | None = None) -> None:
        self.link.sendall(encode(Upstream(str(self.short / "s") if path is None else path, 1)))

    def tui(self) -> Terminal:
        terminal = Terminal(
            self.short / "t",
            [self.binary, "-C", str(self.project), "--remote", f"unix://{self.short / 'c'}"],
            environment=self.environment,
            directory=self.project,
        )
        self.ending.callback(terminal.close)
        return terminal

    def shown(self) -> list[str]:
        return [news.thread_id for news in self.news if isinstance(news, TuiShows)]

    def until(self, look: Callable[[], object], what: str, terminal: Terminal) -> None:
        until(look, what, explain=lambda: f"{self.news}\n{terminal.screen()}")

    def say(self, terminal: Terminal, line: str) -> None:
        """Type a line and wait for the scripted answer."""
        terminal.type(line)
        terminal.wait_for(f"ECHO: {line}")


def connectable(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


@pytest.fixture
def stage(short_folder: Path) -> Iterator[Stage]:
    worlds = agents.cache_dir() / "worlds"
    worlds.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="p", dir=worlds))
    model = ResponsesModel()
    model.start()
    stage = Stage(home, short_folder, model)
    try:
        with stage.ending:
            stage.start_app_server()
            stage.start_proxy()
            yield stage
    finally:
        model.close()
        shutil.rmtree(home, ignore_errors=True)


@pytest.mark.requirement("C5")
def test_each_way_to_a_thread_is_told_and_hidden_ones_are_not(stage: Stage) -> None:
    stage.name_app_server()
    tui = stage.tui()
    stage.until(lambda: len(stage.shown()) == 1, "the first thread", tui)
    stage.say(tui, "hello one")
    stage.model.wait_for(lambda request: bool(request["hidden"]), "the hidden title thread")
    assert len(stage.shown()) == 1
    tui.type("/new")
    stage.until(lambda: len(stage.shown()) == 2, "/new", tui)
    stage.say(tui, "hello two")
    tui.type("/fork")
    stage.until(lambda: len(stage.shown()) == 3, "/fork", tui)
    tui.type("/resume")
    tui.wait_for("Resume a previous session")
    stage.until(lambda: len(ROW.findall(tui.screen())) >= 2, "the picker's rows", tui)
    tui.key("Down", "Enter")
    stage.until(lambda: len(stage.shown()) == 4, "a thread from the picker", tui)
    assert len(set(stage.shown())) in (3, 4)
    assert stage.news[1] == TuiCame(1, tui.pid)
    tui.close()
    stage.until(lambda: stage.news[-1] == TuiLeft(1), "the end", tui)


@pytest.mark.requirement("C3")
def test_an_app_server_killed_and_back_is_reconnected_to_by_itself(stage: Stage) -> None:
    stage.name_app_server()
    tui = stage.tui()
    tui.wait_for(PROMPT)
    stage.say(tui, "before")
    (thread,) = stage.shown()
    assert stage.app_server is not None
    stage.app_server.kill()
    stage.app_server.wait()
    stage.name_app_server("")
    stage.until(lambda: TuiCame(2, tui.pid) in stage.news, "the TUI's next connection", tui)
    stage.start_app_server()
    stage.name_app_server()
    stage.until(lambda: TuiShows(2, thread) in stage.news, "the thread again", tui)
    stage.say(tui, "after")


@pytest.mark.requirement("C6")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_proxy_that_ends_and_comes_back_is_reconnected_to_by_itself(
    how: signal.Signals, stage: Stage
) -> None:
    stage.name_app_server()
    tui = stage.tui()
    tui.wait_for(PROMPT)
    stage.say(tui, "before")
    (thread,) = stage.shown()
    assert stage.proxy is not None
    stage.proxy.send_signal(how)
    stage.proxy.wait()
    stage.news.clear()
    stage.start_proxy()
    stage.name_app_server()
    stage.until(lambda: TuiShows(1, thread) in stage.news, "the thread again", tui)
    stage.say(tui, "after")


@pytest.mark.requirement("C3")
def test_a_tui_that_starts_before_the_app_server_waits_for_it(stage: Stage) -> None:
    tui = stage.tui()
    stage.until(lambda: TuiCame(1, tui.pid) in stage.news, "the TUI's connection", tui)
    stage.name_app_server()
    stage.until(lambda: len(stage.shown()) == 1, "its thread", tui)
    stage.say(tui, "hello")
