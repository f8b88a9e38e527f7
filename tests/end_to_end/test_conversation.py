"""Plain ``claude`` and plain ``codex`` in one project, the real ones, talk through the daemon."""

from __future__ import annotations

import os

from tests.lab.tui import ClaudeTui, CodexTui
from tests.lab.waiting import until
from tests.lab.world import World

INJECTED = "[agentbridge] Message ab-"
"""How the bridge's own text begins that it gives to Codex."""


def test_what_claude_asks_reaches_codex_and_the_answer_wakes_the_idle_claude(
    world: World, codex: CodexTui, claude: ClaudeTui
) -> None:
    claude.call("send_to_codex", text="QUESTION-1\n%final ANSWER-1")
    asked = world.responses.wait_for_prompt("QUESTION-1", explain=world.report)
    assert asked["user"].startswith(INJECTED)
    codex.terminal.wait_for("ANSWER-1")
    woken = world.messages.wait_for_text(">ANSWER-1", explain=world.report)
    assert "Another Claude session sent a message" in woken["said"]
    sent = world.wait_for_message("QUESTION-1", "to_codex", state="answered")
    answer = world.wait_for_message("ANSWER-1", "to_claude", state="consumed")
    assert answer["in_reply_to"] == sent["id"]


def test_a_line_the_person_types_in_codex_reaches_claude_once(
    world: World, codex: CodexTui, claude: ClaudeTui
) -> None:
    claude.wait_idle()
    codex.say("%final TYPED-1 is done")
    heard = world.messages.wait_for_text(">TYPED-1 is done", explain=world.report)
    assert "<typed-in-codex>" in heard["said"]
    world.wait_for_message("TYPED-1 is done", "to_claude", state="consumed")
    # What is sent afterwards has come when everything before it has: nothing doubles behind it.
    claude.call("send_to_codex", text="QUESTION-2\n%final ANSWER-2")
    last = world.messages.wait_for_text(">ANSWER-2", explain=world.report)
    assert last["said"].count(">TYPED-1 is done") == 1


def test_our_own_injected_text_never_comes_back(
    world: World, codex: CodexTui, claude: ClaudeTui
) -> None:
    claude.call("send_to_codex", text="QUESTION-3 unlike any other\n%final ANSWER-3")
    said = world.messages.wait_for_text(">ANSWER-3", explain=world.report)["said"]
    assert INJECTED not in said
    assert all(INJECTED not in row["text"] for row in world.history())
    rows = [row for row in world.history() if "unlike any other" in row["text"]]
    assert [row["direction"] for row in rows] == ["to_codex"]


def test_the_hidden_threads_that_make_titles_are_never_relayed(
    world: World, codex: CodexTui, claude: ClaudeTui
) -> None:
    world.responses.wait_for(lambda r: r["hidden"], "the TUI's hidden thread asks for a title")
    codex.terminal.wait_for("Hidden title")
    claude.call("send_to_codex", text="QUESTION-4\n%final ANSWER-4")
    said = world.messages.wait_for_text(">ANSWER-4", explain=world.report)["said"]
    assert "Hidden title" not in said
    assert all("Hidden title" not in row["text"] for row in world.history())


def test_a_message_to_a_busy_codex_waits_its_turn_and_cuts_nothing(
    world: World, codex: CodexTui, claude: ClaudeTui
) -> None:
    codex.say("%hold busy STREAMED one two three four five six END-OF-STREAM")
    world.responses.wait_until_held("busy")
    until(
        lambda: world.bridge()["codex"]["status"] == "active",
        "the bridge knows that Codex is busy",
        explain=world.report,
    )
    claude.call("send_to_codex", text="QUESTION-5\n%final ANSWER-5")
    world.wait_for_message("QUESTION-5", "to_codex", state="written")
    assert world.responses.prompts("QUESTION-5") == []
    world.responses.release("busy")
    whole = "STREAMED one two three four five six END-OF-STREAM"
    world.messages.wait_for_text(f">{whole}", explain=world.report)
    codex.terminal.wait_for(whole)
    world.messages.wait_for_text(">ANSWER-5", explain=world.report)
    assert len(world.responses.prompts("QUESTION-5")) == 1


def test_a_claude_busy_in_a_tool_call_hears_codex_in_the_same_turn(
    world: World, codex: CodexTui, claude: ClaudeTui
) -> None:
    claude.wait_idle()
    fifo = world.home / "finish"
    os.mkfifo(fifo)
    claude.say(f'x !tool Bash {{"command": "cat {fifo}", "description": "w"}} ;; !say TOOL-ENDED')
    world.messages.wait_for(lambda r: str(fifo) in r["step"], "Claude runs a tool")
    codex.say("%final MEANWHILE-1")
    world.wait_for_message("MEANWHILE-1", "to_claude", state="written")
    fifo.write_text("finished", encoding="utf-8")  # blocks until the tool reads
    heard = world.messages.wait_for_text(">MEANWHILE-1", explain=world.report)
    assert "finished" in heard["said"]
    assert "while you were working" in heard["said"]
    world.wait_for_message("MEANWHILE-1", "to_claude", state="consumed")


def test_what_comes_while_claude_streams_follows_its_answer(
    world: World, codex: CodexTui, claude: ClaudeTui
) -> None:
    claude.wait_idle()
    claude.say("x !hold streaming CLAUDE-STREAMS one two three four CLAUDE-DONE")
    world.messages.wait_until_held("streaming")
    codex.say("%final MEANWHILE-2")
    world.wait_for_message("MEANWHILE-2", "to_claude", state="written")
    world.messages.release("streaming")
    claude.terminal.wait_for("CLAUDE-STREAMS one two three four CLAUDE-DONE")
    world.messages.wait_for_text(">MEANWHILE-2", explain=world.report)
    world.wait_for_message("MEANWHILE-2", "to_claude", state="consumed")


def test_commentary_stays_in_history_and_only_the_answer_is_pushed(
    world: World, codex: CodexTui, claude: ClaudeTui
) -> None:
    claude.call("send_to_codex", text="QUESTION-6\n%commentary THINKING-6\n%final ANSWER-6")
    said = world.messages.wait_for_text(">ANSWER-6", explain=world.report)["said"]
    assert ">THINKING-6" not in said
    world.wait_for_message("THINKING-6", "to_claude", state="history")


def test_a_claude_in_bypass_mode_is_reached_too(
    world: World, codex: CodexTui, claude: ClaudeTui
) -> None:
    claude.wait_idle()
    claude.close()
    bold = world.claude_tui("--permission-mode", "bypassPermissions")
    world.wait_bridged(seat=bold.pid)
    bold.call("send_to_codex", text="QUESTION-7\n%final ANSWER-7")
    world.messages.wait_for_text(">ANSWER-7", session=bold.session, explain=world.report)
    world.wait_for_message("ANSWER-7", "to_claude", state="consumed")
