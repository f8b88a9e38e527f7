"""Approvals while the app-server, or our connection to it, comes and goes."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
from collections.abc import Iterator

import psutil
import pytest

from tests.lab import codex
from tests.lab.approving import Asked, accept, ask
from tests.lab.chaos import Chaos
from tests.lab.waiting import until
from tests.lab.world import World


def request_id(world: World, asked: Asked) -> object:
    """Return the id that the app-server gave its request, as the store keeps it."""
    path = world.state / "agentbridge.db"
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        query = "SELECT request_id FROM approvals WHERE id = ?"
        return json.loads(database.execute(query, (asked.id,)).fetchone()[0])


class Line:
    """Between the app-server that runs in this world and everybody else; it can be cut."""

    def __init__(self, world: World) -> None:
        control = codex.control_socket(world.codex_home)
        control.parent.mkdir(parents=True)
        real, front = world.short / "real", world.short / "front"
        with (world.home / "app-server.log").open("ab") as log:
            self.app_server = subprocess.Popen(
                [str(world.codex_binary), "app-server", "--listen", f"unix://{real}"],
                cwd=world.project,
                env=world.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until(real.exists, "the app-server's socket")
        self.relay = Chaos(front, real, environment=world.environment)
        control.symlink_to(front)

    def cut(self, pid: int) -> None:
        """End a process's connections, and let its next ones wait for :meth:`Chaos.calm`."""
        self.relay.bar(pid)
        self.relay.cut(pid)

    def close(self) -> None:
        """End both programs."""
        self.relay.close()
        self.app_server.kill()
        self.app_server.communicate()


@pytest.fixture
def fresh_world() -> Iterator[World]:
    """A world that no test used before."""
    with World.at_work() as world:
        yield world


@pytest.fixture
def lined() -> Iterator[tuple[World, Line]]:
    """A world whose app-server stands behind a line that can be cut."""
    with World.open() as world:
        line = Line(world)
        try:
            world.install_plugin()
            world.start_daemon()
            yield world, line
        finally:
            for tui in reversed(world.terminals):
                tui.terminal.close()
            if world.daemon:
                world.stop_daemon()
            line.close()


@pytest.mark.requirement("A4")
def test_an_answer_while_the_line_is_down_is_kept_and_sent_when_it_is_back(
    lined: tuple[World, Line],
) -> None:
    world, line = lined
    tui = world.codex_tui()
    claude = world.claude_tui()
    world.wait_bridged(seat=claude.pid)
    asked = ask(world, tui)
    assert world.daemon
    before = world.status()["app_server"]
    line.cut(world.daemon.pid)
    until(lambda: not world.status()["app_server"]["connected"], "the line is down")
    answered = world.data("approvals", "allow", asked.id)
    assert answered["state"] == "answered"
    assert asked.runs == 0
    second = world.ctl("approvals", "deny", asked.id)
    assert "already" in second.stderr
    line.relay.calm()
    asked.wait_for("resolved")
    asked.wait_gone_from(tui)
    asked.wait_ended()
    assert world.status()["app_server"]["generation"] == before["generation"]


@pytest.mark.requirement("A4")
def test_what_the_tui_answered_while_the_line_was_down_is_found_out(
    lined: tuple[World, Line],
) -> None:
    world, line = lined
    tui = world.codex_tui()
    claude = world.claude_tui()
    world.wait_bridged(seat=claude.pid)
    asked = ask(world, tui)
    assert world.daemon
    line.cut(world.daemon.pid)
    until(lambda: not world.status()["app_server"]["connected"], "the line is down")
    accept(tui)
    asked.wait_ended()
    assert world.data("approvals", "deny", asked.id)["state"] == "answered"
    line.relay.calm()
    row = asked.wait_for("resolved")
    assert (row["answered_by"], row["answer"], asked.runs) == ("Codex", None, 1)


@pytest.mark.requirement("A5")
def test_the_end_of_the_app_server_orphans_it_and_its_id_may_come_again(world: World) -> None:
    tui = world.codex_tui(wrapper=True)
    claude = world.claude_tui()
    world.wait_bridged(seat=claude.pid)
    asked = ask(world, tui)
    server = world.status()["app_server"]
    psutil.Process(server["pid"]).kill()
    asked.wait_for("orphaned")
    until(
        lambda: (
            world.status()["app_server"]["connected"]
            and world.status()["app_server"]["generation"] > server["generation"]
        ),
        "the next app-server",
        explain=world.report,
    )
    tui.close()
    other = world.codex_tui()
    again = ask(world, other)
    assert request_id(world, again) == request_id(world, asked)
    late = world.ctl("approvals", "allow", asked.id)
    assert (late.returncode, late.stdout) == (1, "")
    assert "was orphaned: the Codex app-server that asked has ended" in late.stderr
    assert (again.row["state"], again.runs, asked.runs) == ("pending", 0, 0)
    again.wait_shown_by(other)
    world.data("approvals", "allow", again.id)
    again.wait_ended()
    again.wait_for("resolved")
    assert asked.runs == 0


@pytest.mark.requirement("A5")
def test_an_app_server_that_drains_is_waited_for_and_what_came_meanwhile_goes_to_the_next(
    fresh_world: World,
) -> None:
    world = fresh_world
    tui = world.codex_tui(wrapper=True)
    claude = world.claude_tui()
    world.wait_bridged(seat=claude.pid)
    asked = ask(world, tui)
    server = world.status()["app_server"]
    psutil.Process(server["pid"]).terminate()  # it drains: a pending approval holds it up
    sent = world.data("send", "%final AFTER-THE-DRAIN")
    assert (asked.row["state"], asked.runs) == ("pending", 0)
    world.data("approvals", "allow", asked.id)
    asked.wait_for("resolved")
    until(
        lambda: world.status()["app_server"]["generation"] > server["generation"],
        "the next app-server",
        explain=world.report,
    )
    until(
        lambda: world.data("explain", sent["id"])["message"]["state"] == "answered",
        "the message that came meanwhile is answered",
        explain=world.report,
    )
    assert asked.runs == 1
