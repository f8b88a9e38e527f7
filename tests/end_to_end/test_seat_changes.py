"""A person moves the seat between two real Claude Code sessions, in every way there is."""

from __future__ import annotations

import pytest

from tests.lab.tui import ClaudeTui, CodexTui
from tests.lab.world import World


@pytest.fixture(scope="module")
def second(world: World, claude: ClaudeTui) -> ClaudeTui:
    """A second session in the same project, which came too late."""
    return world.claude_tui()


@pytest.mark.requirement("S5", "S8")
def test_the_person_has_the_rejected_session_take_the_seat_over(
    world: World, codex: CodexTui, claude: ClaudeTui, second: ClaudeTui
) -> None:
    second.call("attach")
    refused = world.messages.wait_for_text("not attached: rejected", explain=world.report)
    assert str(claude.pid) in refused["said"]
    second.call("attach", take_over=True)
    world.wait_bridged(seat=second.pid)
    second.call("send_to_codex", text="BY-THE-SECOND\n%final SECOND-ANSWERED")
    world.messages.wait_for_text(">SECOND-ANSWERED", session=second.session, explain=world.report)
    told = world.messages.wait_for_text(
        "taken over by pid", session=claude.session, explain=world.report
    )
    assert str(second.pid) in told["said"]
    claude.call("send_to_codex", text="BY-THE-EVICTED")
    told = world.messages.wait_for_text(
        "nothing was sent. evicted: ", session=claude.session, explain=world.report
    )
    assert world.responses.prompts("BY-THE-EVICTED") == []


@pytest.mark.requirement("S5")
def test_the_person_releases_the_seat_and_gives_it_to_the_first_again(
    world: World, codex: CodexTui, claude: ClaudeTui, second: ClaudeTui
) -> None:
    assert world.ctl("seat", "release").returncode == 0
    world.messages.wait_for_text("seat released by", session=second.session, explain=world.report)
    assert world.bridge()["claude"] is None
    claude.call("attach")
    world.wait_bridged(seat=claude.pid)
    claude.call("send_to_codex", text="FIRST-AGAIN\n%final FIRST-ANSWERED")
    world.messages.wait_for_text(">FIRST-ANSWERED", session=claude.session, explain=world.report)
