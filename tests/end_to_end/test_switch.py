"""A person switches the bridge off and on; the real agents stay open all the while."""

from __future__ import annotations

import getpass
import signal

import pytest

from tests.lab.tui import ClaudeTui, CodexTui
from tests.lab.waiting import until
from tests.lab.world import World


@pytest.mark.requirement("S7")
def test_killed_stays_killed_over_a_restart_and_revive_needs_no_new_claude(
    world: World, codex: CodexTui, claude: ClaudeTui
) -> None:
    codex.say("%final BEFORE")
    world.messages.wait_for_text(">BEFORE", explain=world.report)
    claude.wait_idle()

    assert world.ctl("kill").returncode == 0
    until(lambda: world.bridge()["state"] == "killed", "the bridge is killed")
    claude.call("send_to_codex", text="WHILE-KILLED")
    refused = world.messages.wait_for_text("nothing was sent", explain=world.report)
    assert f"killed by {getpass.getuser()} at " in refused["said"]
    assert "agentbridgectl revive" in refused["said"]
    claude.wait_idle()

    assert world.stop_daemon() == 0
    world.start_daemon()
    assert world.bridge()["state"] == "killed"
    world.stop_daemon(signal.SIGKILL)  # its lock file still names it
    world.start_daemon()
    codex.say("%final SAID-WHILE-KILLED")
    world.responses.wait_for_prompt("SAID-WHILE-KILLED", explain=world.report)
    codex.terminal.wait_for("• SAID-WHILE-KILLED")

    assert world.ctl("revive").returncode == 0
    world.wait_bridged(seat=claude.pid)
    claude.call("send_to_codex", text="AFTER?\n%final AFTER")
    world.messages.wait_for_text(">AFTER", explain=world.report)
    said = world.messages.last_conversation()
    assert ">SAID-WHILE-KILLED" not in said
    assert world.responses.prompts("WHILE-KILLED\n") == []


def test_a_paused_bridge_refuses_what_claude_sends_and_keeps_what_codex_says(
    world: World, codex: CodexTui, claude: ClaudeTui
) -> None:
    claude.wait_idle()
    assert world.ctl("pause").returncode == 0
    claude.call("send_to_codex", text="WHILE-PAUSED")
    refused = world.messages.wait_for_text("The bridge is paused by", explain=world.report)
    assert "agentbridgectl resume" in refused["said"]
    codex.say("%final SAID-WHILE-PAUSED")
    world.wait_for_message("SAID-WHILE-PAUSED", "to_claude")
    assert world.messages.with_text(">SAID-WHILE-PAUSED") == []
    assert world.ctl("resume").returncode == 0
    world.messages.wait_for_text(">SAID-WHILE-PAUSED", explain=world.report)
