"""The disk under the database fills up in the middle of a conversation of the real agents."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.waiting import until
from tests.lab.world import World
from tests.store.disk import fill, needs_a_disk, small_disk

SIZE = 16 * 1024 * 1024


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A world whose state is on a disk of its own."""
    with World.open() as world:
        world.state.parent.mkdir(parents=True, exist_ok=True)
        with small_disk(world.state, SIZE):
            world.install_plugin()
            world.start_daemon()
            yield world
            world.stop_daemon()


@needs_a_disk
def test_on_a_full_disk_sends_are_refused_and_what_codex_says_comes_later_once(
    world: World,
) -> None:
    codex = world.codex_tui()
    claude = world.claude_tui()
    world.wait_bridged(seat=claude.pid)
    codex.say("%final BEFORE-IT-WAS-FULL")
    world.messages.wait_for_text(">BEFORE-IT-WAS-FULL", explain=world.report)
    ballast = fill(world.state)
    codex.say("%final WHILE-IT-WAS-FULL")
    codex.terminal.wait_for("• WHILE-IT-WAS-FULL")
    until(
        lambda: world.status()["store"]["state"] == "refusing", "it says so", explain=world.report
    )
    claude.call("send_to_codex", text="NOT-TAKEN")
    world.messages.wait_for_text("free some space there", explain=world.report)
    assert world.status()["bridges"][0]["codex"]["thread_id"]
    ballast.unlink()
    world.messages.wait_for_text(">WHILE-IT-WAS-FULL", explain=world.report)
    claude.call("send_to_codex", text="TAKEN\n%final ANSWERED-AFTER")
    said = world.messages.wait_for_text(">ANSWERED-AFTER", explain=world.report)["said"]
    assert [said.count(f">{word}-IT-WAS-FULL") for word in ("BEFORE", "WHILE")] == [1, 1]
    assert world.responses.prompts("NOT-TAKEN") == []
    assert len(world.responses.prompts("TAKEN")) == 1
    assert world.status()["store"]["state"] == "ok"
