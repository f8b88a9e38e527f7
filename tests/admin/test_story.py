"""The story of a message reads as sentences and says why it waits."""

from dataclasses import replace
from typing import get_args

import pytest

from agentbridged.admin.story import tell
from agentbridged.machines.outbox import State
from agentbridged.store import AttemptRow, BridgeRow, MessageRow

MESSAGE = MessageRow(
    id="ab-1",
    bridge="a-1",
    seq=3,
    direction="to_codex",
    sender="claude",
    text="the secret text",
    state="accepted",
    thread_id=None,
    turn_id=None,
    item_id=None,
    idempotency_key=None,
    when_busy="queue",
    start_thread=False,
    prompts=[],
    in_reply_to=None,
    written_to=None,
    created_at=0.0,
    changed_at=1.5,
)
BRIDGE = BridgeRow("a-1", "/a", "active", "", 0.0, "", None, None, True)


def test_a_delivered_question_is_told_from_its_beginning_to_its_answer() -> None:
    attempts = [
        AttemptRow("ab-1", 0.4, "queue", "sending", "thread-1"),
        AttemptRow("ab-1", 0.5, "queue", "doubtful", "the app-server went away"),
        AttemptRow("ab-1", 1.5, "queue", "ok", ""),
    ]
    answered = replace(MESSAGE, state="answered", turn_id="u")
    reply = replace(MESSAGE, id="ab-2", direction="to_claude", created_at=9.0)
    assert tell(answered, attempts, [reply], BRIDGE).splitlines() == [
        "Claude said it to Codex at 1970-01-01T00:00:00.000Z; it is number 3 of bridge a-1.",
        "After 0.4 s, it was about to be handed to Codex's queue (on thread thread-1).",
        "After 0.5 s, Codex's queue left it in doubt (the app-server went away).",
        "After 1.5 s, Codex's queue took it.",
        "It was read and answered; that was known at 1970-01-01T00:00:01.500Z.",
        "Codex answered with ab-2 at 1970-01-01T00:00:09.000Z.",
    ]


def test_what_waits_on_a_killed_bridge_says_by_whom_and_the_way_out() -> None:
    killed = replace(BRIDGE, state="killed", changed_by="anna (pid 7)", reason="lunch")
    story = tell(MESSAGE, [], [], killed)
    assert "killed by anna (pid 7)" in story
    assert "(lunch)" in story
    assert "`agentbridgectl revive a-1`" in story
    assert "`agentbridgectl resume a-1`" in tell(MESSAGE, [], [], replace(killed, state="paused"))


@pytest.mark.parametrize("state", get_args(State))
def test_every_state_has_its_words_and_the_text_is_never_told(state: State) -> None:
    for direction in ("to_codex", "to_claude"):
        row = replace(MESSAGE, state=state, direction=direction, when_busy="steer")
        story = tell(row, [], [], None)
        assert len(story.splitlines()) == 2
        assert "secret" not in story


@pytest.mark.parametrize(
    ("step", "result", "words"),
    [
        ("transcript", "ok", "it was seen in Claude's transcript as given to the model"),
        ("steer", "refused", "the running turn refused it"),
        ("steer", "not taken", "the running turn did not take it"),
        ("channel", "missing", "a channel notification could not be used"),
        ("inbox", "failed", "Claude Code's inbox failed"),
        ("inbox", "unconfirmed", "Claude Code's inbox had led to no sign of it"),
        ("inbox", "held", "Claude Code's inbox holds it back"),
        ("kept", "history", "it was put into history"),
        ("give up", "refused", "it was given up"),
        ("turn", "interrupted", "Codex's turn ended: interrupted"),
        ("told", "ok", "Claude was told what became of it"),
        ("later", "ok", "later went well"),
    ],
)
def test_every_try_is_a_sentence(step: str, result: str, words: str) -> None:
    story = tell(MESSAGE, [AttemptRow("ab-1", 1.0, step, result, "why")], [], BRIDGE)
    assert story.splitlines()[1] == f"After 1.0 s, {words} (why)."


def test_a_try_that_a_damaged_database_lost_is_told_as_a_doubt() -> None:
    story = tell(MESSAGE, [AttemptRow("ab-1", 1.0, "salvage", "sending", "t-1")], [], BRIDGE)
    assert "a damaged database, so it may be in Codex (on thread t-1)." in story


ANSWER = replace(MESSAGE, direction="to_claude", sender="codex")


def test_a_message_that_climbed_the_ladder_tells_each_step_and_why() -> None:
    attempts = [
        AttemptRow("ab-1", 0.1, "inbox", "missing", "Claude Code named none"),
        AttemptRow("ab-1", 0.1, "channel", "missing", "the session was not started with one"),
        AttemptRow("ab-1", 20.0, "stop_hook", "ok", ""),
        AttemptRow("ab-1", 20.3, "transcript", "ok", ""),
    ]
    story = tell(replace(ANSWER, state="consumed", changed_at=20.3), attempts, [], BRIDGE)
    assert story.splitlines() == [
        "Codex said it to Claude at 1970-01-01T00:00:00.000Z; it is number 3 of bridge a-1.",
        "After 0.1 s, Claude Code's inbox could not be used (Claude Code named none).",
        "After 0.1 s, a channel notification could not be used "
        "(the session was not started with one).",
        "After 20.0 s, the hook at the end of Claude's turn handed it over.",
        "After 20.3 s, it was seen in Claude's transcript as given to the model.",
        "Claude has read it, proven at 1970-01-01T00:00:20.300Z.",
    ]


def test_what_may_have_come_twice_says_so_and_to_whom() -> None:
    attempts = [
        AttemptRow("ab-1", 0.1, "inbox", "ok", ""),
        AttemptRow("ab-1", 15.0, "inbox", "unconfirmed", "no sign of it"),
        AttemptRow("ab-1", 20.0, "stop_hook", "ok", "42/s-1"),
    ]
    written = replace(ANSWER, state="written", written_to="42/s-1", changed_at=20.0)
    *_, repeated, now = tell(written, attempts, [], BRIDGE).splitlines()
    assert repeated == (
        "After 20.0 s, the hook at the end of Claude's turn handed it over once more, "
        "marked as perhaps a repeat (process 42, session s-1)."
    )
    assert now == (
        "It was handed to Claude (process 42, session s-1) at 1970-01-01T00:00:20.000Z; "
        "there is no proof of reading yet, and until there is, the next session gets it too, "
        "marked as perhaps a repeat."
    )


def test_a_codex_without_a_queue_is_part_of_the_story() -> None:
    attempts = [
        AttemptRow("ab-1", 0.1, "queue", "sending", "th"),
        AttemptRow("ab-1", 0.1, "queue", "not taken", "unknown variant"),
        AttemptRow("ab-1", 3.0, "start", "sending", "th"),
        AttemptRow("ab-1", 3.1, "start", "ok", "th"),
    ]
    lines = tell(replace(MESSAGE, state="written"), attempts, [], BRIDGE).splitlines()
    assert lines[2] == "After 0.1 s, Codex's queue did not take it (unknown variant)."
    assert lines[4] == "After 3.1 s, a new turn was started with it (on thread th)."


def test_what_was_said_while_the_bridge_was_killed_says_why_it_is_history() -> None:
    kept = [AttemptRow("ab-1", 0.0, "kept", "history", "the bridge was killed")]
    story = tell(replace(ANSWER, state="history"), kept, [], BRIDGE)
    assert "it was put into history (the bridge was killed)" in story
    fyi = replace(ANSWER, state="history", text="[FYI] the secret text")
    assert "marked it as [FYI]" in tell(fyi, [], [], BRIDGE)


def test_a_question_whose_turn_was_cut_is_read_and_not_to_be_waited_for() -> None:
    read = replace(MESSAGE, state="consumed", turn_id="u")
    cut = [AttemptRow("ab-1", 1.0, "turn", "ok", ""), AttemptRow("ab-1", 1.0, "turn", "failed", "")]
    assert "Its turn was failed before it was answered: no answer will come of it" in tell(
        read, cut, [], BRIDGE
    )
    assert "no answer" not in tell(read, cut[:1], [], BRIDGE)
    assert "no answer" not in tell(replace(read, state="answered"), cut, [], BRIDGE)
