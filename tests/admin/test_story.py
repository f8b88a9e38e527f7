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
        "After 0.4 s, it was about to be handed to Codex's queue (thread-1).",
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
        ("inbox", "ok", "it was written into Claude Code's inbox"),
        ("transcript", "ok", "it was seen in Claude's transcript"),
        ("steer", "refused", "the running turn refused it"),
        ("give up", "refused", "it was given up"),
        ("turn", "interrupted", "Codex's turn ended: interrupted"),
        ("later", "ok", "later went well"),
    ],
)
def test_every_try_is_a_sentence(step: str, result: str, words: str) -> None:
    story = tell(MESSAGE, [AttemptRow("ab-1", 1.0, step, result, "why")], [], BRIDGE)
    assert story.splitlines()[1] == f"After 1.0 s, {words} (why)."
