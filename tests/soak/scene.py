"""The world of a soak: two projects, each with a real Claude Code and a real Codex TUI, relays."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path
from typing import Any

from tests.lab.anthropic import MessagesModel
from tests.lab.chaos_world import ChaosWorld
from tests.lab.codex import stored_threads
from tests.lab.responses import ResponsesModel
from tests.lab.scripted import Json
from tests.lab.tui import ClaudeTui, CodexTui
from tests.lab.waiting import NeverHappened, until
from tests.soak.books import Books
from tests.soak.models import SoakMessages, SoakResponses, Traffic

CONFIG = """\
# Nothing but the two agents talks here, for minutes: the governor would rightly stop that.
[governor]
enabled = false

[notify]
desktop = false
"""
REPAIR = 90.0
"""Seconds that it may take until all is well after a fault; the longest known is below 20."""

FIRST_LOOK = 0.1
"""Seconds until the first look: what was just harmed must have been noticed."""


class Scene(ChaosWorld):
    """Two bridges, and what happens to them."""

    def __init__(self, books: Books, **options: Any) -> None:
        self.books = books
        self.traffic = Traffic(books)
        super().__init__(**options)
        self.projects = [self.project, self.new_project("second")]
        self.claudes: dict[Path, ClaudeTui] = {}
        self.codexes: dict[Path, CodexTui] = {}
        self.sessions = 0
        self._pause = threading.Event()
        self.config_file.parent.mkdir(parents=True, exist_ok=True)
        self.config_file.write_text(CONFIG, encoding="utf-8")

    def _models(self) -> tuple[ResponsesModel, MessagesModel]:
        self.codex_model = SoakResponses(self.traffic)
        self.claude_model = SoakMessages(self.traffic, self.claude_dir)
        return self.codex_model, self.claude_model

    def begin(self) -> None:
        """Start everything, and wait until both bridges stand."""
        self.install_plugin()
        self.start_daemon()
        self.stand_before_the_proxy()
        for project in self.projects:
            self.open_codex(project)
            self.open_claude(project)
        self.wait_whole()

    def open_claude(self, project: Path) -> None:
        """Open a Claude Code session in a project."""
        self.claudes[project] = self.claude_tui(project=project)
        self.sessions += 1

    def close_claude(self, project: Path, *, kill: bool) -> None:
        """End a project's Claude Code: at once, or as a closed terminal does."""
        tui = self.claudes.pop(project)
        self.books.ended.add(tui.session)
        if kill:
            tui.terminal.kill()
        tui.close()
        self.books.hung_up(str(project))

    def open_codex(self, project: Path, *arguments: str) -> None:
        """Open Codex behind the proxy in a project."""
        self.codexes[project] = self.codex_tui(*arguments, wrapper=True, project=project)
        until(lambda: self._is_lasting(project), "its thread can be resumed", explain=self.report)

    def _is_lasting(self, project: Path) -> bool:
        """Whether Codex has a file of what a terminal shows: until then a crash ends the TUI."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            bridges = self.ask_the_daemon()["bridges"]
            shown = [b["codex"] for b in bridges if b["root"] == str(project.resolve())]
            threads = stored_threads(self.codex_home)
            return any(c and c["tui"] and c["thread_id"] in threads for c in shown)
        return False

    def close_codex(self, project: Path) -> None:
        """Close a project's Codex terminal."""
        self.codexes.pop(project).close()

    # How it is

    def whole(self) -> str:
        """Say what is not as it should be; empty when all is well."""
        try:
            status = self.ask_the_daemon()
        except (OSError, ValueError, KeyError):
            return "the daemon does not answer"
        if not status["app_server"]["connected"]:
            return "the app-server is not connected"
        if status["proxy"]["state"] != "RUNNING":
            return f"the proxy is {status['proxy']['state']}"
        if dead := [p.name for p, tui in self.codexes.items() if not tui.terminal.running()]:
            return f"Codex has ended by itself in {dead}"
        if status["proxy"]["tuis"] != len(self.codexes):
            return f"the proxy has {status['proxy']['tuis']} terminals, not {len(self.codexes)}"
        bridges = {bridge["root"]: bridge for bridge in status["bridges"]}
        halves = (self._half(p, bridges.get(str(p.resolve())) or {}) for p in self.projects)
        return next(filter(None, halves), "")

    def _half(self, project: Path, bridge: Json) -> str:
        seat = (bridge.get("claude") or {}).get("pid")
        if bridge.get("state") != "active":
            return f"{project.name} is {bridge.get('state')}"
        if seat != self.claudes[project].pid:
            return f"the seat of {project.name} is {seat}'s, not {self.claudes[project].pid}'s"
        return "" if bridge.get("codex") else f"{project.name} has no thread"

    def wait_whole(self, *, within: float = REPAIR) -> str:
        """Wait until all is well; returns what was the last to become so."""
        self._pause.wait(FIRST_LOOK)
        last, problem = "", self.whole()
        until_then = time.monotonic() + within
        while problem:
            if time.monotonic() > until_then:
                raise NeverHappened(f"not well within {within:g} s: {problem}\n{self.report()}")
            last = problem
            self._pause.wait(0.05)
            problem = self.whole()
        return last

    def calm(self) -> None:
        """End all weather."""
        for relay in self.relays.values():
            relay.calm()

    def pids(self) -> dict[str, int]:
        """Return the processes whose size is watched."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            status = self.ask_the_daemon()
            return {"daemon": status["pid"], "proxy": status["proxy"]["pid"] or 0}
        return {}
