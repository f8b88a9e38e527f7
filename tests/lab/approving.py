"""What a test does with an approval: have Codex ask for it, see it, answer it, count what ran."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from tests.lab.scripted import Json
from tests.lab.terminal import ENTER_PATIENCE
from tests.lab.tui import CodexTui
from tests.lab.waiting import NeverHappened, until
from tests.lab.world import World

OVERLAY = "Yes, proceed (y)"


@dataclass(frozen=True)
class Asked:
    """A command that Codex may not run before a person says so: it adds a line to a file."""

    world: World
    name: str
    thread_id: str

    @property
    def file(self) -> Path:
        """Where each run leaves a line."""
        return self.world.project / f"{self.name}.ran"

    @property
    def runs(self) -> int:
        """How often the command has run."""
        return len(self.file.read_text("utf-8").splitlines()) if self.file.exists() else 0

    @property
    def row(self) -> Json:
        """The approval as the desk lists it."""
        rows = self.world.data("approvals", "list", "--all")["approvals"]
        return next((row for row in rows if self.name in row["what"]), {})

    @property
    def id(self) -> str:
        """The approval's id."""
        return str(self.row["id"])

    def wait_for(self, state: str) -> Json:
        """Wait until the approval is in this state, and return it."""

        def there() -> Json:
            row = self.row
            return row if row.get("state") == state else {}

        return until(there, f"{self.name} is {state}", explain=self._evidence)

    def wait_shown_by(self, tui: CodexTui) -> None:
        """Wait until a TUI shows this very question."""

        def shown() -> bool:
            screen = tui.terminal.screen()
            return OVERLAY in screen and f"$ echo {self.name}" in screen

        until(shown, f"{self.name} is asked on the screen", explain=self._evidence)

    def wait_gone_from(self, tui: CodexTui) -> None:
        """Wait until a TUI asks nothing any more."""
        until(lambda: OVERLAY not in tui.terminal.screen(), "no question", explain=self._evidence)

    def wait_ended(self, *, runs: int = 1) -> None:
        """Wait for the end of the turn, upon which the command has run that often."""
        self.world.responses.wait_for(
            lambda request: self.name in request["user"] and request["outputs"],
            f"the model hears what came of {self.name}",
            explain=self._evidence,
        )
        assert self.runs == runs, self._evidence()

    def _evidence(self) -> str:
        return f"{self.row}\n{self.world.report()}"


def ask(world: World, tui: CodexTui) -> Asked:
    """Have the Codex in this TUI ask for a command; the TUI shows it, the desk lists it."""
    name = f"ask-{secrets.token_hex(4)}"
    asked = Asked(world, name, "")
    tui.say(f"%esc echo {name} >> {asked.file}")
    row = asked.wait_for("pending")
    asked = Asked(world, name, row["thread_id"])
    asked.wait_shown_by(tui)
    return asked


def accept(tui: CodexTui) -> None:
    """Accept what the TUI asks."""
    _press(tui, "y")


def decline(tui: CodexTui) -> None:
    """Refuse what the TUI asks; the turn is interrupted by that."""
    _press(tui, "Escape")


def _press(tui: CodexTui, key: str) -> None:
    """Press the key until it is taken: a TUI that has just been drawn drops it."""

    def taken() -> bool:
        tui.terminal.key(key)
        try:
            return until(lambda: OVERLAY not in tui.terminal.screen(), "", within=ENTER_PATIENCE)
        except NeverHappened:
            return False

    until(taken, f"{key} taken", explain=tui.report)
