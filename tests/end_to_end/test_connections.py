"""Many connections of real TUIs at once: none disturbs another, and nothing of them is left."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import psutil
import pytest

from tests.lab.codex import stored_threads
from tests.lab.terminal import Terminal
from tests.lab.waiting import until
from tests.lab.world import World

HANDSHAKE = (
    b"GET /rpc HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def wait_for_tuis(world: World, count: int) -> None:
    """Wait until the proxy counts that many TUIs."""
    until(
        lambda: world.status()["proxy"]["tuis"] == count,
        f"{count} TUIs behind the proxy",
        explain=world.report,
    )


def open_files(world: World) -> dict[str, int]:
    """Return how many files proxy and app-server have open."""
    status = world.status()
    return {name: psutil.Process(status[name]["pid"]).num_fds() for name in ("proxy", "app_server")}


def kill_the_proxy(world: World) -> None:
    """End the proxy as a crash would, and wait for the next one."""
    proxy = world.status()["proxy"]
    psutil.Process(proxy["pid"]).kill()
    until(
        lambda: world.status()["proxy"]["generation"] > proxy["generation"],
        "the next proxy",
        explain=world.report,
    )


def wait_for_its_thread(world: World, before: set[str]) -> None:
    """Wait until a TUI knows its thread, which is none of these, and the thread can be resumed."""

    def known() -> bool:
        codex = world.bridge().get("codex") or {}
        new = stored_threads(world.codex_home) - before
        return bool(codex.get("tui")) and codex["thread_id"] in new

    until(known, "a TUI's own thread, with a file", explain=world.report)


@pytest.fixture
def overview(world: World) -> Iterator[Terminal]:
    """``codex agents`` behind the proxy: a TUI that only looks."""
    terminal = Terminal(
        world.short / "agents",
        ["agentbridgectl", "codex", "agents"],
        environment=world.environment,
        directory=world.project,
    )
    yield terminal
    terminal.close()


@pytest.mark.requirement("C1")
def test_picker_resume_fork_a_second_tui_and_the_overview_disturb_no_turn(
    world: World, overview: Terminal
) -> None:
    wait_for_tuis(world, 1)
    busy = world.codex_tui(wrapper=True)
    busy.say("%final BEFORE-THEM")
    busy.terminal.wait_for("• BEFORE-THEM")
    (thread_id,) = stored_threads(world.codex_home)
    busy.say("%hold long LONG one two three END-LONG")
    world.responses.wait_until_held("long")
    picker = world.codex_tui("resume", wrapper=True)
    picker.terminal.wait_for("Resume a previous session")
    second = world.codex_tui(wrapper=True)
    fork = world.codex_tui("fork", thread_id, wrapper=True)
    resumed = world.codex_tui("resume", thread_id, wrapper=True)
    wait_for_tuis(world, 6)
    second.say("%final SECOND-SPEAKS")
    second.terminal.wait_for("• SECOND-SPEAKS")
    picker.terminal.kill()
    fork.close()
    second.close()
    overview.kill()
    wait_for_tuis(world, 2)
    assert "SECOND-SPEAKS" not in busy.terminal.history()
    world.responses.release("long")
    for tui in (busy, resumed):
        tui.terminal.wait_for("END-LONG")
    busy.say("%final AFTER-THEM")
    busy.terminal.wait_for("• AFTER-THEM")
    resumed.terminal.wait_for("• AFTER-THEM")
    for tui in (resumed, busy, picker):
        tui.close()
    wait_for_tuis(world, 0)


@pytest.mark.requirement("C2")
def test_connections_that_end_in_any_way_leave_no_descriptor(world: World) -> None:
    first = world.codex_tui(wrapper=True)
    first.say("%final HERE")
    first.terminal.wait_for("• HERE")
    wait_for_tuis(world, 1)
    before = open_files(world)
    killed, closed = world.codex_tui(wrapper=True), world.codex_tui(wrapper=True)
    wait_for_tuis(world, 3)
    killed.terminal.kill()
    closed.close()
    for said in (b"", b"GET /", HANDSHAKE, HANDSHAKE + b"\x81"):
        for _ in range(10):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(world.runtime / "codex.sock"))
                client.sendall(said)
    wait_for_tuis(world, 1)
    until(
        lambda: open_files(world)["proxy"] <= before["proxy"],
        "the proxy has closed all it had opened",
        explain=lambda: f"{before} {open_files(world)}",
    )
    until(
        lambda: open_files(world)["app_server"] <= before["app_server"] + 8,
        "the app-server has too, but for the files of its threads",
        explain=lambda: f"{before} {open_files(world)}",
    )
    killed.close()
    first.close()


@pytest.mark.requirement("C6")
@pytest.mark.parametrize("with_claude", [False, True], ids=["alone", "claude"])
def test_a_tui_without_a_turn_survives_the_proxy(world: World, with_claude: bool) -> None:
    if with_claude:
        world.claude_tui()
    for turn in range(2):
        before = stored_threads(world.codex_home)
        codex = world.codex_tui(wrapper=True)
        wait_for_its_thread(world, before)
        kill_the_proxy(world)
        wait_for_tuis(world, 1)
        word = f"STILL-HERE-{with_claude}-{turn}"
        codex.say(f"%final {word}")
        codex.terminal.wait_for(f"• {word}")
        assert "input is paused" not in codex.terminal.history()
        codex.close()
        wait_for_tuis(world, 0)
