"""What is unconfirmed is kept in order; what was pushed or proven is never so again."""

from __future__ import annotations

import msgspec
import pytest

from agentbridged.mcp import mailbox as module
from agentbridged.mcp.mailbox import Mailbox
from agentbridged.wire.claude import Message
from tests.mcp.scripted_daemon import codex_says


def message(number: int, **more: object) -> Message:
    return msgspec.convert(codex_says(number, f"text {number}", **more), Message)


def numbers(box: Mailbox) -> list[int]:
    return [entry.message.seq for entry in box.unconfirmed()]


def test_messages_are_in_the_bridges_order_whenever_they_came() -> None:
    box = Mailbox()
    for number in (3, 1, 2):
        assert box.add(message(number))
    assert numbers(box) == [1, 2, 3]


def test_what_was_pushed_waits_no_more_even_when_it_comes_again() -> None:
    box = Mailbox()
    box.add(message(1))
    (entry,) = box.waiting()
    box.pushed(entry, len(entry.message.text))
    box.add(message(1))
    box.clear()
    box.add(message(1))
    assert box.waiting() == []
    assert box.sought() == {entry.message.id}


def test_what_is_confirmed_is_gone_for_good_and_told_again() -> None:
    box = Mailbox()
    box.add(message(1))
    assert box.confirm([message(1).id, "ab-unknown"]) == [message(1).id]
    assert box.confirm([message(1).id]) == []
    assert not box.add(message(1))
    assert len(box) == 0


def test_a_head_alone_is_not_the_whole() -> None:
    box = Mailbox()
    box.add(message(1))
    box.pushed(box.waiting()[0], 3)
    assert not box.unconfirmed()[0].is_whole


def test_what_another_session_was_given_may_be_a_repeat_and_is_pushed() -> None:
    box = Mailbox()
    box.add(message(1, written_to="1/s"))
    box.add(message(2, written_to="2/s"), pushed=True)
    assert [e.message.seq for e in box.waiting()] == [1]
    assert box.sought() == {message(1).id, message(2).id}


def test_what_was_or_may_have_been_handed_over_is_sought_in_the_transcript() -> None:
    box = Mailbox()
    box.add(message(1))
    box.add(message(2), is_old=True)
    assert box.sought() == {message(2).id}
    assert message(1).id in box
    assert message(3).id not in box


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 3)
    box = Mailbox()
    for number in range(1, 6):
        box.add(message(number))
        box.confirm([message(number).id])
    assert box.add(message(1))
    assert not box.add(message(5))
