import time

import pytest

from agentbridged.bridges import words
from agentbridged.machines.turns import Waiting
from agentbridged.store.rows import BridgeRow, MessageRow, Sender
from agentbridged.wire.close import REASON_LIMIT, fit_reason


def row(**changed: object) -> BridgeRow:
    facts: dict[str, object] = {
        "id": "p-1",
        "root": "/p",
        "state": "killed",
        "changed_by": "anna (pid 12345)",
        "changed_at": time.time(),
        "reason": "",
        "thread_id": None,
        "cursor": None,
        "attached": True,
    }
    return BridgeRow(**(facts | changed))  # type: ignore[arg-type]  # its own fields


def message(sender: Sender, text: str = "hello") -> MessageRow:
    return MessageRow(
        id="ab-1",
        bridge="p-1",
        seq=1,
        direction="to_codex",
        sender=sender,
        text=text,
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
        changed_at=0.0,
    )


@pytest.mark.parametrize(("sender", "who"), [("claude", "Claude Code"), ("person", "your user")])
def test_injected_text_says_who_speaks(sender: Sender, who: str) -> None:
    heading, _, body = words.to_codex(message(sender, "the text")).partition("\n\n")
    assert heading.startswith("[agentbridge]")
    assert who in heading
    assert "ab-1" in heading
    assert body == "the text"


def test_an_agents_message_is_not_taken_for_the_persons() -> None:
    assert "not your user" in words.to_codex(message("claude"))


@pytest.mark.requirement("S7")
def test_a_killed_bridge_says_by_whom_and_how_to_switch_it_on_within_a_close_frame() -> None:
    reason = words.killed(row())
    assert "anna" in reason
    assert "agentbridgectl revive" in reason
    assert fit_reason(reason) == reason
    assert len(reason.encode()) <= REASON_LIMIT


def test_a_paused_bridge_says_why_and_how_to_go_on() -> None:
    text = words.refused(row(state="paused", reason="20 messages without a person"))
    assert "20 messages without a person" in text
    assert "agentbridgectl resume" in text
    assert "Nothing was sent" in text


def test_a_wait_says_for_what_and_that_a_person_must_do_it() -> None:
    text = words.waiting(Waiting("approval", time.time()))
    assert "approve" in text
    assert "only a person" in text
