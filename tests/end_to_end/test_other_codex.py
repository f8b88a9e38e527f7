"""An older Codex under the whole daemon: it serves, says what is off and what is done instead."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentbridged import peercred
from tests.lab import codex
from tests.lab.waiting import until
from tests.lab.world import ROOT, World


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A daemon that joins an app-server of another version, without a queue."""
    with World.open() as world:
        real = world.short / "real.sock"
        control = codex.control_socket(world.codex_home)
        control.parent.mkdir(parents=True, exist_ok=True)
        lacking = ["--lack", "thread/queue/add", "--lack", "thread/queue/list"]
        other = ["-m", "tests.fakes.other_codex", str(control), str(real), *lacking]
        started = [
            _started(world, [str(world.codex_binary), "app-server", "--listen", f"unix://{real}"]),
        ]
        until(lambda: peercred.is_listening(real.resolve()), "the app-server listens")
        started.append(_started(world, [sys.executable, *other, "--version", "0.150.0"]))
        until(lambda: peercred.is_listening(control), "the other Codex listens")
        world.start_daemon()
        yield world
        for process in reversed(started):
            process.terminate()
            process.wait(30)


def _started(world: World, command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        cwd=ROOT if command[0] == sys.executable else Path(world.home),
        env=world.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_a_message_gets_through_and_status_and_explain_say_which_way(world: World) -> None:
    sent = world.rpc(
        "message.send",
        project_dir=str(world.project),
        text="WITHOUT-A-QUEUE\n%final ANSWER",
        start_thread=True,
    )
    world.wait_for_message("WITHOUT-A-QUEUE", "to_codex", state="answered")
    status = world.status()
    assert (status["app_server"]["version"], status["app_server"]["managed"]) == ("0.150.0", False)
    (row,) = status["degraded"]
    assert (row["program"], row["method"]) == ("codex", "thread/queue/add")
    shown = world.ctl("status").stdout
    assert "Codex 0.150.0 (agentbridge was measured with 0.169.0)" in shown
    assert "Codex lacks thread/queue/add as we know it" in shown
    story = world.ctl("explain", sent["id"]).stdout
    assert "Codex's queue did not take it" in story
    assert "it was about to be handed to a new turn (on thread" in story
