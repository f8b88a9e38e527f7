"""
A world of its own for the whole bridge: a private home, mock models, the daemon, both real TUIs.

    with World.at_work() as world:
        codex, claude = world.codex_tui(), world.claude_tui()
        ...

Everything started here knows the world by its ``AGENTBRIDGE_RUNTIME_DIR``; closing it ends all of
that in order and fails if something is left.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import psutil

from tests.lab import agents, claude, codex, doors, processes
from tests.lab.anthropic import MessagesModel
from tests.lab.responses import ResponsesModel
from tests.lab.scripted import Json
from tests.lab.terminal import Terminal
from tests.lab.tui import ClaudeTui, CodexTui, Tui
from tests.lab.waiting import NeverHappened, until

ROOT = Path(__file__).parent.parent.parent
SCRIPTS = Path(sys.executable).parent
COMMAND_PATIENCE = 60
STOP_PATIENCE = 15
STATES = ("accepted", "written", "consumed", "answered")


class World:
    """One home, one daemon, and the terminals opened in it."""

    def __init__(self, *, prefer_path: bool = False, codex_config: str = "") -> None:
        self.codex_binary = agents.codex_binary(prefer_path=prefer_path)
        self.claude_binary = agents.claude_binary(prefer_path=prefer_path)
        worlds = agents.cache_dir() / "worlds"
        worlds.mkdir(parents=True, exist_ok=True)
        self.home = Path(tempfile.mkdtemp(prefix="w", dir=worlds))
        self.short = Path(tempfile.mkdtemp(prefix="ab-"))
        self.runtime = self.short / "run"
        self.state = self.home / ".local" / "state" / "agentbridge"
        self.config_file = self.home / ".config" / "agentbridge" / "config.toml"
        self.codex_home = self.home / ".codex"
        self.claude_dir = self.home / ".claude"
        self.project = self.new_project("project")
        self.responses, self.messages = self._models()
        self.daemon: subprocess.Popen[bytes] | None = None
        self.terminals: list[Tui] = []
        self.ended: list[int] = []
        """After the close: pids that it ended."""
        self._seed(codex_config)

    def _models(self) -> tuple[ResponsesModel, MessagesModel]:
        return ResponsesModel(), MessagesModel()

    @classmethod
    @contextlib.contextmanager
    def open(cls, **options: Any) -> Iterator[Self]:
        """Open a world, and close it in order; fails if something of it is left running."""
        world = cls(**options)
        world.responses.start()
        world.messages.start()
        try:
            yield world
        finally:
            world.close()

    @classmethod
    @contextlib.contextmanager
    def at_work(cls, **options: Any) -> Iterator[Self]:
        """Open a world with the plugin installed and the daemon running."""
        with cls.open(**options) as world:
            world.install_plugin()
            world.start_daemon()
            yield world

    def new_project(self, name: str) -> Path:
        """Make a further project directory, with a git top level of its own."""
        project = self.home / name
        (project / ".git").mkdir(parents=True)
        return project

    def _seed(self, codex_config: str) -> None:
        projects = [self.project, self.home / "second"]
        codex.seed(self.codex_home, port=self.responses.port, projects=projects, extra=codex_config)
        claude.seed(self.claude_dir, projects=projects, version=agents.CLAUDE.version)
        programs = self.home / "bin"
        programs.mkdir()
        (programs / "codex").symlink_to(self.codex_binary)
        (programs / "claude").symlink_to(self.claude_binary)
        for script in ("agentbridged", "agentbridgectl", "agentbridge-mcp"):
            (programs / script).symlink_to(SCRIPTS / script)

    @property
    def environment(self) -> dict[str, str]:
        """
        Return all that every program here gets, and nothing of the caller's.

        The proxy, a closed port, stops what the agents would still fetch from outside.
        """
        node = shutil.which("node")
        path = [str(self.home / "bin"), *([str(Path(node).parent)] if node else [])]
        return {
            "PATH": ":".join([*path, "/usr/local/bin", "/usr/bin", "/bin"]),
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            "SHELL": "/bin/bash",
            "TMPDIR": str(self.short),
            "XDG_RUNTIME_DIR": str(self.short),
            "HTTP_PROXY": "http://127.0.0.1:9",
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "NO_PROXY": "127.0.0.1,localhost",
            "MOCK_API_KEY": codex.API_KEY,
            "CODEX_HOME": str(self.codex_home),
            "CLAUDE_CONFIG_DIR": str(self.claude_dir),
            "AGENTBRIDGE_RUNTIME_DIR": str(self.runtime),
            "AGENTBRIDGE_STATE_DIR": str(self.state),
            "AGENTBRIDGE_CONFIG": str(self.config_file),
            "AGENTBRIDGE_CODEX": str(self.codex_binary),
            "AGENTBRIDGE_CLAUDE": str(self.claude_binary),
        }

    # the daemon

    def start_daemon(self, *, whole: bool = True, **variables: str) -> subprocess.Popen[bytes]:
        """Start ``agentbridged`` and wait until it answers and, if *whole*, its children run."""
        self.state.mkdir(parents=True, exist_ok=True)
        with self.daemon_log_path.open("ab") as log:
            self.daemon = subprocess.Popen(
                [sys.executable, "-m", "agentbridged"],
                cwd=ROOT,
                env=self.environment | variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until(self._daemon_answers, "the daemon answers", explain=self.report)
        if whole:
            until(self._children_run, "proxy and app-server run", explain=self.report)
        return self.daemon

    def _children_run(self) -> bool:
        status = self.status()
        return status["proxy"]["state"] == "RUNNING" and bool(status["app_server"]["connected"])

    def _daemon_answers(self) -> bool:
        assert self.daemon
        if self.daemon.poll() is not None:
            raise NeverHappened(f"the daemon ended with {self.daemon.returncode}\n{self.report()}")
        try:
            return "result" in doors.ask(self.admin_socket, "status")
        except (OSError, ValueError):
            return False

    def stop_daemon(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal the daemon, wait for its end, and return its exit status."""
        daemon, self.daemon = self.daemon, None
        assert daemon, "no daemon runs"
        daemon.send_signal(number)
        try:
            return daemon.wait(STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
            raise NeverHappened(f"the daemon ignored {number.name}\n{self.report()}") from None

    @property
    def daemon_log_path(self) -> Path:
        """Where the daemon's stderr goes."""
        return self.home / "daemon.log"

    def ctl(
        self, *arguments: str, directory: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run ``agentbridgectl`` in the project, as a person there would."""
        return subprocess.run(
            [str(self.home / "bin" / "agentbridgectl"), *arguments],
            cwd=directory or self.project,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_PATIENCE,
        )

    def data(self, *arguments: str) -> Any:
        """Run ``agentbridgectl … --json``, which must succeed, and return what it printed."""
        done = self.ctl(*arguments, "--json")
        assert done.returncode == 0, f"{arguments}: {done.stderr}\n{self.report()}"
        return json.loads(done.stdout)

    @property
    def admin_socket(self) -> Path:
        """The daemon's admin door."""
        return self.runtime / "admin.sock"

    def rpc(self, method: str, **params: Any) -> Json:
        """Call a verb on ``admin.sock``, which must succeed, and return its result."""
        answer = doors.ask(self.admin_socket, method, **params)
        assert "result" in answer, f"{method}: {answer}\n{self.report()}"
        result: Json = answer["result"]
        return result

    def status(self) -> Json:
        """Return the daemon's ``status``."""
        return self.rpc("status")

    def history(self) -> list[Json]:
        """Return the project's messages, oldest first."""
        listed = self.rpc("message.list", project_dir=str(self.project), limit=1000)
        messages: list[Json] = listed["messages"]
        return messages

    def wait_for_message(self, text: str, direction: str, *, state: str = "accepted") -> Json:
        """Wait for a message with this text that has come as far as *state*; returns its row."""
        far_enough = STATES[STATES.index(state) :] if state in STATES else (state,)

        def found() -> Json:
            rows = (row for row in self.history() if text in row["text"])
            mine = (row for row in rows if row["direction"] == direction)
            return next((row for row in mine if row["state"] in far_enough), {})

        what = f"a message {direction} with {text!r}, {state}"
        return until(found, what, explain=lambda: f"{self.history()}\n{self.report()}")

    def bridge(self, root: Path | None = None) -> Json:
        """Return the bridge of a project in ``status``, or nothing."""
        wanted = str((root or self.project).resolve())
        return next((b for b in self.status()["bridges"] if b["root"] == wanted), {})

    def wait_bridged(self, root: Path | None = None, *, seat: int | None = None) -> Json:
        """Wait until a project's bridge has both sides (and *seat* is Claude's pid)."""

        def bridged() -> Json:
            bridge = self.bridge(root)
            both = bridge.get("claude") and bridge.get("codex")
            return bridge if both and seat in (None, bridge["claude"]["pid"]) else {}

        return until(bridged, "the bridge has both sides", explain=self.report)

    def install_plugin(self) -> None:
        """Install the plugin into this world's Claude Code, by ``agentbridgectl``."""
        done = self.ctl("plugin", "install")
        assert done.returncode == 0, f"plugin install: {done.stdout}{done.stderr}"

    # the agents

    def codex_tui(
        self, *arguments: str, wrapper: bool = False, project: Path | None = None
    ) -> CodexTui:
        """Open plain ``codex`` (or ``agentbridgectl codex``) in a project, at its prompt."""
        program = ["agentbridgectl", "codex"] if wrapper else ["codex"]
        terminal = self._terminal("codex", [*program, *arguments], self.environment, project)
        tui = CodexTui(terminal, self.report, self.terminals)
        tui.wait_ready()
        return tui

    def claude_tui(self, *arguments: str, project: Path | None = None) -> ClaudeTui:
        """Open plain ``claude`` in a project, at its prompt."""
        own = claude.environment(self.claude_dir, port=self.messages.port)
        environment = self.environment | own
        terminal = self._terminal("claude", ["claude", *arguments], environment, project)
        tui = ClaudeTui(terminal, self.report, self.terminals, self.claude_dir)
        tui.wait_idle()
        return tui

    def _terminal(
        self,
        kind: str,
        command: list[str],
        environment: dict[str, str],
        project: Path | None = None,
    ) -> Terminal:
        socket = self.short / f"{kind}-{secrets.token_hex(3)}"
        directory = project or self.project
        return Terminal(socket, command, environment=environment, directory=directory)

    # what is left, what went wrong

    def running(self) -> list[psutil.Process]:
        """Return every process of this world that still runs."""
        return processes.with_variable("AGENTBRIDGE_RUNTIME_DIR", str(self.runtime))

    def product_pids(self) -> list[int]:
        """Return the pids of the product: daemon, proxy, app-server, shims."""
        started = processes.with_descendants([self.daemon.pid] if self.daemon else [])
        ours = {p.pid for p in self.running() if "agentbridge" in " ".join(p.cmdline()[:3])}
        return sorted(ours | set(started))

    def tcp_listeners(self) -> list[str]:
        """Return the TCP ports the product listens on: there must be none."""
        return processes.tcp_listeners(self.product_pids())

    def report(self) -> str:
        """Return the evidence: the daemon's log and every screen."""
        parts = []
        if self.daemon_log_path.exists():
            log = self.daemon_log_path.read_text(encoding="utf-8", errors="replace")
            parts.append(f"── the daemon's log\n{log[-6000:]}")
        parts += [f"── {t.name}\n{t.terminal.screen().rstrip()}" for t in self.terminals]
        return "\n".join(parts)

    def close(self) -> None:
        """End everything in order; raises :exc:`NeverHappened` naming what would not end."""
        self.ended = [process.pid for process in self.running()]
        try:
            for tui in reversed(self.terminals):
                tui.terminal.close()
            if self.daemon and self.daemon.poll() is None:
                self.stop_daemon()
            self._expect_nothing_left()
        finally:
            for left in self.running():
                with contextlib.suppress(psutil.NoSuchProcess):
                    left.kill()
            self.responses.close()
            self.messages.close()
            shutil.rmtree(self.short, ignore_errors=True)
            if not os.environ.get("AGENTBRIDGE_KEEP_WORLDS"):
                shutil.rmtree(self.home, ignore_errors=True)

    def _expect_nothing_left(self) -> None:
        until(
            lambda: not self.running(),
            "the end of every process of the world",
            within=STOP_PATIENCE,
            explain=lambda: f"{processes.describe(self.running())}\n{self.report()}",
        )
