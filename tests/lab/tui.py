"""The two real TUIs, each in a terminal: what a person does with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.lab import claude
from tests.lab.terminal import Terminal
from tests.lab.waiting import NeverHappened, until


class Tui:
    """An agent's terminal user interface, one of those that are open in a world."""

    name = ""

    def __init__(self, terminal: Terminal, report: Callable[[], str], open_ones: list[Tui]) -> None:
        self.terminal = terminal
        self.report = report
        self._open_ones = open_ones
        open_ones.append(self)

    @property
    def pid(self) -> int:
        """The agent's own process."""
        return self.terminal.pid

    def say(self, line: str) -> None:
        """Type a line as the person does; its answer need not be there yet."""
        self.terminal.type(line)

    def close(self) -> None:
        """Close the terminal."""
        self._open_ones.remove(self)
        self.terminal.close()


class CodexTui(Tui):
    """A real Codex TUI."""

    name = "Codex"

    def wait_ready(self) -> None:
        """Wait for its prompt."""
        self.terminal.wait_for("\u203a")


class ClaudeTui(Tui):
    """A real Claude Code TUI."""

    name = "Claude Code"

    def __init__(
        self,
        terminal: Terminal,
        report: Callable[[], str],
        open_ones: list[Tui],
        config_dir: Path,
    ) -> None:
        super().__init__(terminal, report, open_ones)
        self._config_dir = config_dir

    @property
    def session(self) -> str:
        """The session's present id."""
        return str(claude.session(self._config_dir, self.pid).get("sessionId", ""))

    def wait_idle(self) -> None:
        """Wait until Claude Code itself says that the session has nothing to do."""

        def idle() -> bool:
            if not self.terminal.running():
                raise NeverHappened(f"Claude Code ended:\n{self.terminal.history()}")
            return claude.session(self._config_dir, self.pid).get("status") == "idle"

        until(idle, "Claude Code is idle", explain=self.report)

    def call(self, name: str, **arguments: object) -> None:
        """Have the idle, scripted Claude call a tool of the bridge and end its turn."""
        self.wait_idle()
        self.say(f"x {claude.tool(name, **arguments)} ;; !say called {name}")
