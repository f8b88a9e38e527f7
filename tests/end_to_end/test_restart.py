"""The daemon is killed in the middle of a conversation of the real agents, and comes back."""

from __future__ import annotations

import signal

import pytest

from tests.lab.tui import ClaudeTui, CodexTui
from tests.lab.world import World


@pytest.mark.requirement("S9")
def test_what_codex_says_while_the_daemon_is_dead_reaches_claude_once(
    world: World, codex: CodexTui, claude: ClaudeTui
) -> None:
    codex.say("%final BEFORE-THE-KILL")
    world.messages.wait_for_text(">BEFORE-THE-KILL", explain=world.report)
    before = world.status()
    world.stop_daemon(signal.SIGKILL)
    codex.say("%final WHILE-DEAD")
    codex.terminal.wait_for("• WHILE-DEAD")
    world.start_daemon()
    world.wait_bridged(seat=claude.pid)
    world.messages.wait_for_text(">WHILE-DEAD", explain=world.report)
    claude.call("send_to_codex", text="AFTER-THE-KILL\n%final ANSWERED-AFTER")
    said = world.messages.wait_for_text(">ANSWERED-AFTER", explain=world.report)["said"]
    assert said.count(">WHILE-DEAD") == 1
    assert said.count(">BEFORE-THE-KILL") == 1
    assert len(world.responses.prompts("AFTER-THE-KILL")) == 1
    after = world.status()
    for child in ("proxy", "app_server"):
        assert after[child]["pid"] == before[child]["pid"]


def test_a_message_sent_while_codex_is_busy_survives_the_daemon(
    world: World, codex: CodexTui, claude: ClaudeTui
) -> None:
    codex.say("%hold long LONG-ANSWER one two three four five END")
    world.responses.wait_until_held("long")
    claude.call("send_to_codex", text="QUEUED-UP\n%final QUEUED-ANSWER")
    world.wait_for_message("QUEUED-UP", "to_codex", state="written")
    world.stop_daemon(signal.SIGKILL)
    world.responses.release("long")
    world.responses.wait_for_prompt("QUEUED-UP", explain=world.report)
    world.start_daemon()
    world.wait_bridged(seat=claude.pid)
    world.messages.wait_for_text(">LONG-ANSWER one two three four five END", explain=world.report)
    said = world.messages.wait_for_text(">QUEUED-ANSWER", explain=world.report)["said"]
    assert said.count(">QUEUED-ANSWER") == 1
    assert len(world.responses.prompts("QUEUED-UP")) == 1
    world.wait_for_message("QUEUED-UP", "to_codex", state="answered")


@pytest.mark.requirement("S9")
def test_all_that_was_missed_comes_in_order_and_once(
    world: World, codex: CodexTui, claude: ClaudeTui
) -> None:
    claude.wait_idle()
    world.stop_daemon(signal.SIGKILL)
    missed = [f"MISSED-{number}" for number in range(4)]
    for line in missed:
        codex.say(f"%final {line}")
        codex.terminal.wait_for(f"• {line}")
    world.start_daemon()
    world.wait_bridged(seat=claude.pid)
    world.messages.wait_for_text(f">{missed[-1]}", explain=world.report)
    claude.call("send_to_codex", text="ALL-THERE\n%final ALL-THERE-ANSWER")
    said = world.messages.wait_for_text(">ALL-THERE-ANSWER", explain=world.report)["said"]
    places = [said.index(f">{line}") for line in missed]
    assert places == sorted(places)
    assert [said.count(f">{line}") for line in missed] == [1] * len(missed)
