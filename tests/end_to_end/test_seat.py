"""Two real Claude Code sessions compete for one project's seat."""

from __future__ import annotations

import pytest

from tests.lab import doors
from tests.lab.tui import ClaudeTui, CodexTui
from tests.lab.world import World


@pytest.mark.requirement("S2", "S4", "S8")
def test_a_second_session_is_told_who_holds_the_seat_and_the_first_goes_on(
    world: World, codex: CodexTui, claude: ClaudeTui
) -> None:
    second = world.claude_tui()
    second.call("bridge_status")
    told = world.messages.wait_for_text(
        "connection: rejected", session=second.session, explain=world.report
    )
    assert str(claude.pid) in told["said"]
    second.wait_idle()
    second.call("send_to_codex", text="INTRUDER")
    refused = world.messages.wait_for_text(
        "nothing was sent", session=second.session, explain=world.report
    )
    assert "rejected" in refused["said"]
    assert world.responses.prompts("INTRUDER") == []
    assert world.bridge()["claude"]["pid"] == claude.pid

    claude.call("send_to_codex", text="STILL-HERE\n%final STILL-ANSWERED")
    world.messages.wait_for_text(">STILL-ANSWERED", session=claude.session, explain=world.report)
    assert world.messages.with_text(">STILL-ANSWERED", session=second.session) == []
    second.close()


@pytest.mark.requirement("S1", "S2")
def test_a_newcomer_on_the_wire_is_closed_with_4001_naming_the_holder(
    world: World, codex: CodexTui, claude: ClaudeTui
) -> None:
    attach = (
        '{"jsonrpc":"2.0","id":1,"method":"attach","params":{"contract":1,"project_dir":"%s",'
        '"session_id":"stranger","claude_pid":%d}}'
    )
    with doors.session(world.runtime / "claude.sock") as stranger:
        stranger.send(attach % (world.project, codex.terminal.pid))
        code, reason = doors.closing_of(stranger)
    assert code == 4001
    assert str(claude.pid) in reason
    assert world.bridge()["claude"]["pid"] == claude.pid


@pytest.mark.requirement("S6")
def test_the_seat_is_free_when_its_holder_was_killed(
    world: World, codex: CodexTui, claude: ClaudeTui
) -> None:
    claude.terminal.kill()
    next_one = world.claude_tui()
    world.wait_bridged(seat=next_one.pid)
