"""A package is upgraded while the real Codex is in the middle of a turn, and nobody notices."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import agents, codex
from tests.lab.machine import HOME, Machine, why_not
from tests.lab.packages import build_deb, shelf, why_no_deb
from tests.lab.responses import ResponsesModel
from tests.lab.scripted import Json
from tests.lab.service import children
from tests.lab.terminal import Terminal
from tests.lab.tui import CodexTui, Tui
from tests.lab.waiting import until

NOW, NEXT = "0.1.0", "0.1.1"
PROJECT = HOME / "project"


class TerminalInside(Terminal):
    """A terminal on a machine, where pids are others than ours."""

    def __init__(self, machine: Machine, command: list[str], directory: Path) -> None:
        self._machine = machine
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(HOME), "TERM": "xterm-256color"}
        super().__init__(
            Path("/tmp/terminal"), command, environment=environment, directory=directory
        )

    def running(self) -> bool:
        """Whether the program still runs."""
        return self._tmux("display-message", "-p", "#{pane_dead}", check=False).strip() == "0"

    def _tmux(self, *arguments: str, check: bool = True) -> str:
        command = ("tmux", "-S", str(self.socket), "-f", "/dev/null", *arguments)
        done: subprocess.CompletedProcess[str] = self._machine.run(*command, check=check)
        return done.stdout


@pytest.fixture
def model() -> Iterator[ResponsesModel]:
    """The model that Codex talks to; the machine shares our 127.0.0.1."""
    model = ResponsesModel()
    model.start()
    yield model
    model.close()


@pytest.fixture
def machine(model: ResponsesModel) -> Iterator[Machine]:
    """
    A machine with the package, the service running, and a Codex that only the login shell knows.

    Its PATH and the key for its model are set in the person's start files, as people do.
    """
    if reason := why_not() or why_no_deb():
        pytest.skip(reason)
    package = build_deb(NOW)
    with Machine.booted(show=(shelf(), agents.cache_dir()), network="host") as machine:
        machine.run("dpkg", "-i", package, root=True)
        trust = f'\n[projects."{PROJECT}"]\ntrust_level = "trusted"\n'
        seed = "mkdir -p ~/.codex ~/.local/bin ~/project/.git; cat >~/.codex/config.toml"
        config = codex.CONFIG.format(port=model.port) + trust
        machine.run("sh", "-c", seed, input=config)
        profile = f"export PATH=~/.local/bin:$PATH MOCK_API_KEY={codex.API_KEY}\n"
        machine.run("sh", "-c", "cat >~/.bash_profile", input=profile)
        machine.run("ln", "-s", agents.codex_binary(), HOME / ".local/bin/codex")
        machine.run("systemctl", "--user", "start", "agentbridge")
        yield machine


def status(machine: Machine, version: str) -> Json:
    """Return the status of the daemon of this version, once both children run."""

    def whole() -> Json:
        done = machine.run("agentbridgectl", "status", "--json", check=False)
        told: Json = json.loads(done.stdout) if done.returncode == 0 else {}
        up = told.get("version") == version and told["proxy"]["state"] == "RUNNING"
        return told if up and told["app_server"]["connected"] else {}

    return until(whole, f"a whole daemon {version}", explain=machine.journal)


def test_an_upgrade_in_the_middle_of_a_turn_is_nobodys_business(
    machine: Machine, model: ResponsesModel
) -> None:
    before = status(machine, NOW)
    command = ["agentbridgectl", "codex"]
    screen = TerminalInside(machine, ["bash", "-lc", f"exec {' '.join(command)}"], PROJECT)
    open_ones: list[Tui] = []
    tui = CodexTui(screen, machine.journal, open_ones)
    tui.wait_ready()
    tui.say("%hold upgrade HELD one two three four END-OF-IT")
    model.wait_until_held("upgrade")

    machine.run("dpkg", "-i", build_deb(NEXT), root=True)
    after = status(machine, NEXT)
    assert children(after) == children(before)
    assert after["proxy"]["generation"] == before["proxy"]["generation"]
    assert after["proxy"]["tuis"] == 1

    model.release("upgrade")
    screen.wait_for("END-OF-IT")
    assert len(model.prompts("%hold upgrade")) == 1
    sent = ("sh", "-c", 'cd ~/project && agentbridgectl send "AFTER-IT\n%final ANSWERED-AFTER"')
    machine.run(*sent)
    screen.wait_for("ANSWERED-AFTER")

    def rows() -> list[Json]:
        listed = "cd ~/project && agentbridgectl history --json"
        messages: list[Json] = json.loads(machine.run("sh", "-c", listed).stdout)["messages"]
        return messages

    def answered() -> bool:
        return any("AFTER-IT" in row["text"] and row["state"] == "answered" for row in rows())

    until(answered, "the message sent after the upgrade is answered", explain=machine.journal)
    ends = [row for row in rows() if "END-OF-IT" in row["text"] and row["direction"] == "to_claude"]
    assert ends == []
    assert screen.running()
    tui.close()
    machine.run("dpkg", "--purge", "agentbridge", root=True)
    until(lambda: not machine.processes("agentbridge"), "the end of all of ours")
    assert machine.processes("app-server") == []
