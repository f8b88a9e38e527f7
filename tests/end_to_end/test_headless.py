"""Messages when no Codex is open, from Claude and from a person's command line."""

from __future__ import annotations

from tests.lab.world import World


def test_claude_may_have_a_codex_thread_started_where_none_is_open(world: World) -> None:
    claude = world.claude_tui()
    claude.call("send_to_codex", text="KEPT-FOR-LATER\n%final TOO-EARLY")
    world.messages.wait_for_text("no Codex thread is open", explain=world.report)
    assert world.responses.prompts("KEPT-FOR-LATER") == []
    claude.call("send_to_codex", text="HEADLESS\n%final HEADLESS-ANSWER", start_thread=True)
    world.messages.wait_for_text(">HEADLESS-ANSWER", explain=world.report)
    world.messages.wait_for_text(">TOO-EARLY", explain=world.report)


def test_a_person_sends_to_either_side_from_the_command_line(world: World) -> None:
    sent = world.data("send", "BY-HAND\n%final BY-HAND-ANSWER")
    world.messages.wait_for_text(">BY-HAND-ANSWER", explain=world.report)
    told = world.ctl("explain", sent["id"])
    assert "BY-HAND" in told.stdout
    assert told.returncode == 0
    world.data("send", "--to", "claude", "FROM-THE-DESK")
    told = world.messages.wait_for_text("FROM-THE-DESK", explain=world.report)["said"]
    assert "<person-message" in told
    assert "Sent with agentbridgectl from a shell of your user's" in told
    assert world.responses.prompts("FROM-THE-DESK") == []


def test_the_same_key_delivers_nothing_twice(world: World) -> None:
    first = world.data("send", "--key", "once", "WITH-A-KEY\n%final KEY-ANSWER")
    again = world.data("send", "--key", "once", "WITH-A-KEY\n%final KEY-ANSWER")
    assert again["id"] == first["id"]
    world.messages.wait_for_text(">KEY-ANSWER", explain=world.report)
    assert len(world.responses.prompts("WITH-A-KEY")) == 1
