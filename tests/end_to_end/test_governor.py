"""Two real agents that would talk for ever are stopped, told once, and go on when a person says."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from agentbridged.codex import note
from agentbridged.machines import governor
from tests.lab import claude as lab
from tests.lab.scripted import Json
from tests.lab.tui import ClaudeTui, CodexTui
from tests.lab.waiting import until
from tests.lab.world import World

HOPS = 6
PAUSED = '<bridge-notice kind="paused">'


@pytest.fixture(scope="module", autouse=True)
def governed(world: World, claude: ClaudeTui) -> None:
    """A governor that soon has enough, which the running daemon takes up; and a desktop."""
    desktop = world.home / "bin" / "notify-send"
    desktop.write_text(f'#!/bin/sh\necho "$4" >> {world.home}/shown\n', encoding="utf-8")
    desktop.chmod(0o755)
    world.config_file.parent.mkdir(parents=True, exist_ok=True)
    world.config_file.write_text(f"[governor]\nmax_hops = {HOPS}\n", encoding="utf-8")
    assert world.ctl("reload").returncode == 0


@pytest.fixture
def ping_pong(world: World) -> Iterator[None]:
    """Claude answers whatever comes from Codex, as Codex does what comes from Claude."""
    world.messages.reply_tool = f"{lab.TOOLS}send_to_codex"
    yield
    world.messages.reply_tool = ""


def wait_paused(world: World) -> Json:
    def paused() -> Json:
        bridge = world.bridge()
        return bridge if bridge["state"] == "paused" else {}

    bridge = until(paused, "the governor pauses the bridge", explain=world.report)
    assert bridge["changed_by"] == governor.BY
    return bridge


def wait_hops(world: World, hops: int) -> None:
    until(lambda: world.bridge()["hops"] == hops, f"{hops} hops", explain=world.report)


def told_claude(world: World) -> int:
    return world.messages.last_conversation().count(PAUSED)


def test_agents_that_answer_each_other_for_ever_are_stopped_and_both_told_once(
    world: World, codex: CodexTui, claude: ClaudeTui, ping_pong: None
) -> None:
    claude.call("send_to_codex", text="PING")
    bridge = wait_paused(world)
    assert bridge["reason"] == f"{HOPS} messages in a row without a person's word"
    assert bridge["reason"] in world.ctl("status").stdout
    assert len(world.history()) == HOPS
    refused = world.messages.wait_for_text("Nothing was sent", explain=world.report)
    assert "agentbridgectl resume" in refused["said"]
    world.messages.wait_for_text(PAUSED, explain=world.report)
    claude.wait_idle()
    assert told_claude(world) == 1
    assert world.bridge()["codex"]["status"] == "idle"
    shown = (world.home / "shown").read_text(encoding="utf-8")
    assert shown == f"project: paused, {bridge['reason']} (`agentbridgectl resume`)\n"
    assert "agentbridge_governor_pauses_total 1\n" in world.ctl("metrics").stdout

    # On resume the count begins anew, and the same conversation is stopped again.
    assert world.ctl("resume").returncode == 0
    codex.say("TYPED by the person")
    asked = world.responses.wait_for_prompt("TYPED by the person", explain=world.report)
    told_codex = json.dumps(asked["body"]["input"])
    assert told_codex.count(json.dumps(note.PAUSED)[1:-1]) == 1
    assert told_codex.count(note.ACTIVE) == 1
    wait_paused(world)
    kept = [row for row in world.history() if row["state"] == "accepted"]
    assert [row["direction"] for row in kept] == ["to_claude"]
    assert len(world.history()) == 2 * HOPS + 1


def test_what_was_kept_is_delivered_on_resume(
    world: World, codex: CodexTui, claude: ClaudeTui
) -> None:
    (kept,) = [row for row in world.history() if row["state"] == "accepted"]
    assert world.ctl("resume").returncode == 0
    world.messages.wait_for_text(f'id="{kept["id"]}"', explain=world.report)
    world.wait_for_message(kept["text"], "to_claude", state="consumed")
    assert told_claude(world) == 2
    assert world.bridge()["hops"] == 0


def test_a_person_who_types_in_codex_is_never_stopped(
    world: World, codex: CodexTui, claude: ClaudeTui
) -> None:
    for number in range(HOPS + 2):
        codex.say(f"%final TYPED-IN-CODEX-{number}")
        world.wait_for_message(f"TYPED-IN-CODEX-{number}", "to_claude")
        assert world.bridge()["hops"] == 1
    assert world.bridge()["state"] == "active"


def test_a_person_who_types_in_claude_is_never_stopped(
    world: World, codex: CodexTui, claude: ClaudeTui
) -> None:
    for number in range(HOPS):
        claude.call("send_to_codex", text=f"ASKED-{number}\n%final ANSWERED-{number}")
        world.wait_for_message(f"ANSWERED-{number}", "to_claude", state="consumed")
        # The scripted model is quicker than the transcript: the word may come with the next call.
        assert world.bridge()["hops"] <= 4
    assert world.bridge()["state"] == "active"


def test_a_restart_of_the_daemon_forgets_no_hop_and_no_pause(
    world: World, codex: CodexTui, claude: ClaudeTui, ping_pong: None
) -> None:
    claude.wait_idle()
    world.messages.reply_tool = ""
    codex.say("%final ONE")
    world.wait_for_message("ONE", "to_claude", state="consumed")
    wait_hops(world, 1)
    assert world.stop_daemon() == 0
    world.start_daemon()
    world.wait_bridged(seat=claude.pid)
    wait_hops(world, 1)
    world.messages.reply_tool = f"{lab.TOOLS}send_to_codex"
    codex.say("%final TWO")
    wait_paused(world)
    assert world.stop_daemon() == 0
    world.start_daemon()
    assert wait_paused(world)["hops"] >= HOPS
