"""What Codex says while it cannot be kept is read back later, whole and in order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from agentbridged.codex.side import CodexSide
from agentbridged.errors import StoreUnavailable
from agentbridged.machines.delivery import Facts, Mail
from agentbridged.machines.relay_policy import Relayed
from agentbridged.wire import codex
from tests.codex.memory import Memory


class Full(Memory):
    """An owner whose disk may be full."""

    full = False

    def keeping(self) -> bool:
        return not self.full

    def relayed(self, thread_id: str, messages: Sequence[Relayed]) -> None:
        if self.full and messages:
            raise StoreUnavailable("the disk is full")
        super().relayed(thread_id, messages)


def item(id: str, text: str, turn: str) -> codex.ItemCompleted:
    answer = codex.Item(type="agentMessage", id=id, text=text, phase="final_answer")
    return codex.ItemCompleted("t", turn, answer)


def ended(turn: str) -> codex.TurnCompleted:
    return codex.TurnCompleted("t", codex.Turn(id=turn, status="completed", startedAt=1.0))


@pytest.fixture
def side() -> CodexSide:
    side = CodexSide(Full(Path("/p")), last_thread="t")
    side.thread_id = "t"
    return side


async def test_the_cursor_stands_still_from_what_could_not_be_kept_on(side: CodexSide) -> None:
    owner = side.owner
    assert isinstance(owner, Full)
    side.heard(item("i1", "one", "u1"))
    side.heard(ended("u1"))
    before = dict(owner.cursors)
    owner.full = True
    side.heard(item("i2", "two", "u2"))
    owner.full = False
    side.heard(item("i3", "three", "u2"))
    side.heard(ended("u2"))
    assert owner.pushed() == ["one"]
    assert owner.cursors == before
    assert side.thread_id == "t", "what Codex does is still known"
    assert not side.turns.active


async def test_what_is_in_hand_is_in_doubt(side: CodexSide) -> None:
    owner = side.owner
    assert isinstance(owner, Full)
    side.accept(Mail("ab-1", "?"))
    side.delivery.plan(Facts(reachable=True, thread=True), now=0.0)
    owner.full = True
    side.heard(item("i2", "two", "u2"))
    assert side.delivery._waiting["ab-1"].doubtful


async def test_it_subscribes_anew_only_when_it_can_keep_again(side: CodexSide) -> None:
    owner = side.owner
    assert isinstance(owner, Full)
    owner.full = True
    side.heard(item("i2", "two", "u2"))
    assert not side._begin_again()
    owner.full = False
    assert side._begin_again()
    assert side.thread_id is None
