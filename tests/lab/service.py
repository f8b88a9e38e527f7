"""What a person types on a machine with a real systemd to have agentbridge there, and sees."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import psutil

from tests.lab import agents
from tests.lab.machine import HOME, Machine
from tests.lab.scripted import Json
from tests.lab.waiting import until

SCRIPTS = Path(sys.prefix) / "bin"
DROP_INS = HOME / ".config/systemd/user/agentbridge.service.d"
UNIT = "agentbridge.service"
OURS = "agentbridge"
"""A word in the command line of everything we start, the app-server apart."""


class Person:
    """The user of a machine, with agentbridge's programs in *bin*."""

    def __init__(self, machine: Machine, bin: Path = HOME / "bin") -> None:
        self.machine = machine
        self.bin = bin
        self.environment = {"AGENTBRIDGE_CODEX": str(agents.codex_binary())}

    def link_programs(self, source: Path = SCRIPTS) -> None:
        """Put links to the programs into *bin*, as pipx does."""
        names = " ".join(f"{source}/{n}" for n in ("agentbridged", "agentbridgectl"))
        self.shell(f"mkdir -p {self.bin}; ln -sf {names} {self.bin}/")

    def shell(self, script: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a line of shell as the person."""
        return self.machine.run("sh", "-c", script, check=check, env=self.environment)

    def ctl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run agentbridgectl; a traceback is never right."""
        program = self.bin / "agentbridgectl"
        done = self.machine.run(program, *arguments, check=check, env=self.environment)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def systemctl(self, *arguments: str, check: bool = True) -> str:
        """Run ``systemctl --user`` and return what it printed."""
        return self.machine.run("systemctl", "--user", *arguments, check=check).stdout.strip()

    def property(self, name: str) -> str:
        """Return what systemd knows of the unit."""
        return self.systemctl("show", "agentbridge", "-P", name)

    def status(self) -> Json:
        """Return the daemon's status once both children run."""

        def whole() -> Json:
            done = self.ctl("status", "--json", check=False)
            status: Json = json.loads(done.stdout) if done.returncode == 0 else {}
            up = status and status["proxy"]["state"] == "RUNNING"
            return status if up and status["app_server"]["connected"] else {}

        return until(whole, "daemon, proxy and app-server run", explain=self.journal)

    def service(self) -> Json:
        """Return ``service status --json``, whether it runs or not."""
        found: Json = json.loads(self.ctl("service", "status", "--json", check=False).stdout)
        return found

    def drop_in(self, name: str, text: str) -> None:
        """Give the unit a drop-in of the person's; an empty *text* takes it away."""
        file = DROP_INS / f"{name}.conf"
        script = f"mkdir -p {DROP_INS}; cat >{file}; test -s {file} || rm -f {file}"
        self.machine.run("sh", "-c", script, input=text)
        self.systemctl("daemon-reload")

    def wait_property(self, name: str, value: str) -> None:
        """Wait until systemd says so of the unit."""
        until(lambda: self.property(name) == value, f"{name} is {value}", explain=self.journal)

    def journal(self) -> str:
        """Return what the daemon and systemd logged of the unit since the boot."""
        # What --user-unit= would match if we were this user.
        return self.machine.journal(f"_SYSTEMD_USER_UNIT={UNIT}", "+", f"USER_UNIT={UNIT}")

    def wait_logged(self, words: str) -> None:
        """
        Wait until the journal has these words.

        It is written after the fact; and whose a short-lived process was is not always known.
        """
        until(lambda: words in self.machine.journal(), f"{words!r} is logged", explain=self.journal)

    def left(self) -> list[psutil.Process]:
        """Return what runs of ours: daemon, proxy, and the app-server."""
        return [*self.machine.processes(OURS), *self.machine.processes("app-server")]

    def expect_nothing_left(self) -> None:
        """Wait until none of it runs."""
        until(lambda: not self.left(), "the end of all of ours", explain=self._left_in_words)

    def _left_in_words(self) -> str:
        return "\n".join(_describe(self.left())) + self.journal()


def children(status: Json) -> tuple[int, int]:
    """Return the pids of proxy and app-server."""
    return status["proxy"]["pid"], status["app_server"]["pid"]


def _describe(processes: Iterable[psutil.Process]) -> list[str]:
    return [f"{p.pid}: {' '.join(p.cmdline())}" for p in processes]
