"""
A program in a terminal: a tmux server of its own, whose screen a test can read and type into.

The program gets the environment that is given here and nothing else.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from tests.lab.waiting import PATIENCE, NeverHappened, until

COLUMNS, LINES = 160, 50
TMUX_PATIENCE = 20
PROMPTS = ("❯", "›")
"""How the lines begin in which Claude Code and Codex take what is typed."""
ENTER_PATIENCE = 3
"""Seconds until Enter is pressed again: a TUI that is just redrawing or reconnecting drops it."""
LOOKS = 3
"""Times in a row the input line must be there without the text: while redrawn it is half there."""


class Terminal:
    """One program in one tmux server."""

    def __init__(
        self,
        socket: Path,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: Path,
    ) -> None:
        self.socket = socket
        self.environment = dict(environment)
        variables = [f"{name}={value}" for name, value in environment.items()]
        line = "exec " + shlex.join(["env", "-i", *variables, *command])
        # The screen stays to be read when the program has ended.
        printed = self._tmux(
            *("new-session", "-d", "-x", str(COLUMNS), "-y", str(LINES), "-c", str(directory)),
            *("-P", "-F", "#{pane_pid}", line, ";", "set-option", "remain-on-exit", "on"),
        )
        self.pid = int(printed)
        """Of the program itself: the shell replaced itself with it."""
        self.server_pid = int(self._tmux("display-message", "-p", "#{pid}"))

    @property
    def attach_command(self) -> str:
        """What a person types to see this terminal."""
        return shlex.join(["tmux", "-S", str(self.socket), "attach"])

    def screen(self) -> str:
        """Return what the terminal shows now."""
        return self._tmux("capture-pane", "-p", check=False)

    def history(self) -> str:
        """Return what it shows and what scrolled away, without wrapping."""
        return self._tmux("capture-pane", "-p", "-J", "-S", "-3000", check=False)

    def wait_for(self, text: str, *, within: float = PATIENCE) -> None:
        """Wait until the text is on the screen."""

        def shown() -> bool:
            if text in self.screen():
                return True
            if not self.running():
                raise NeverHappened(
                    f"the program ended before it showed {text!r}:\n{self.screen()}"
                )
            return False

        until(shown, f"{text!r} on the screen", within=within, every=0.1, explain=self.screen)

    def type(self, line: str) -> None:
        """Type a line, and Enter once it is shown (at once, a TUI takes both for a paste)."""
        self._tmux("send-keys", "-l", "--", line)
        end = "".join(line.split())[-20:]
        until(lambda: end in self._typed(), f"{line!r} typed", every=0.1, explain=self.screen)

        looks: list[bool] = []

        def taken() -> bool:
            typed = self._typed()
            looks.append(bool(typed) and end not in typed)
            return all(looks[-LOOKS:]) and len(looks) >= LOOKS

        def entered() -> bool:
            self.key("Enter")
            looks.clear()
            try:
                return until(taken, "", within=ENTER_PATIENCE, every=0.1)
            except NeverHappened:
                return False

        until(entered, f"{line!r} taken", explain=self.screen)

    def _typed(self) -> str:
        """Return what stands in the input line and below, without any white space."""
        lines = self.screen().splitlines()
        starts = [n for n, line in enumerate(lines) if line.lstrip().startswith(PROMPTS)]
        return "".join("".join(lines[starts[-1] :]).split()) if starts else ""

    def key(self, *names: str) -> None:
        """Press keys by tmux's names for them (``Enter``, ``C-c``, ``Escape``)."""
        self._tmux("send-keys", *names)

    def running(self) -> bool:
        """Whether the program still runs."""
        try:
            return psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def kill(self) -> None:
        """End the program at once, as a crash would; the screen stays."""
        psutil.Process(self.pid).kill()
        until(lambda: not self.running(), f"the end of pid {self.pid}")

    def close(self) -> None:
        """Close the terminal as a person does, and wait until the program is gone."""
        self._tmux("kill-server", check=False)
        try:
            until(lambda: not self.running(), "", within=10)
        except NeverHappened:
            self.kill()
        self.socket.unlink(missing_ok=True)

    def _tmux(self, *arguments: str, check: bool = True) -> str:
        done = subprocess.run(
            ["tmux", "-S", str(self.socket), "-f", "/dev/null", *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=self.environment,
            timeout=TMUX_PATIENCE,
        )
        if check and done.returncode:
            raise RuntimeError(f"tmux {arguments[0]}: {done.stderr.strip()}")
        return done.stdout
