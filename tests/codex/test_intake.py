"""What a thread says, item by item and turn by turn, and what its owner is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentbridged.codex.intake import Intake
from agentbridged.machines.delivery import Delivery, Mail
from agentbridged.machines.relay_policy import Relay, Route
from agentbridged.wire.codex import Item, Turn
from tests.codex.memory import Memory

OURS = Item("userMessage", "i1", clientId="ab-1", content=[{"text": "hello"}])
TYPED = Item("userMessage", "i2", content=[{"text": "typed"}])
ANSWER = Item("agentMessage", "i3", text="answer", phase="final_answer")


@pytest.fixture
def owner() -> Memory:
    owner = Memory(Path("/p"))
    owner.ours.add("ab-1")
    return owner


@pytest.fixture
def intake(owner: Memory) -> Intake:
    delivery = Delivery()
    delivery.accept(Mail("ab-1", "hello"))
    return Intake(owner, delivery)


def test_a_message_of_ours_is_settled_by_the_turn_that_shows_it(
    intake: Intake, owner: Memory
) -> None:
    intake.item("t", "u", OURS)
    assert len(intake.delivery) == 0
    assert (owner.states, owner.words) == ({"ab-1": "consumed"}, 0)


def test_of_an_earlier_thread_only_answers_to_our_messages_are_pushed(
    intake: Intake, owner: Memory
) -> None:
    intake.earlier["left"] = Relay()
    intake.catch_up("left", [Turn("u1", "completed", [TYPED, ANSWER])])
    assert [said.route for said in owner.said.values()] == [Route.HISTORY]
    answer = Item("agentMessage", "i4", text="to you", phase="final_answer")
    intake.catch_up("left", [Turn("u2", "completed", [OURS, answer])])
    assert owner.pushed() == ["to you"]


def test_a_persons_word_is_new_only_as_it_is_heard(intake: Intake, owner: Memory) -> None:
    intake.catch_up("t", [Turn("u1", "completed", [TYPED], startedAt=5.0)])
    assert owner.words == 0
    intake.item("t", "u2", TYPED)
    assert owner.words == 1


def test_nothing_is_taken_in_until_what_was_not_kept_is_read_back(
    intake: Intake, owner: Memory
) -> None:
    intake.behind = True
    intake.item("t", "u", OURS)
    intake.ended("t", Turn("u", "completed", [ANSWER]))
    assert (owner.states, owner.said, owner.ended) == ({}, {}, [])
    intake.behind = False
    intake.catch_up("t", [Turn("u", "completed", [OURS, ANSWER])])
    assert (owner.pushed(), owner.ended) == (["answer"], ["completed"])


def test_a_turn_that_another_followed_is_over_and_the_last_one_runs(
    intake: Intake, owner: Memory
) -> None:
    intake.catch_up("t", [Turn("u1", items=[TYPED]), Turn("u2", items=[ANSWER])])
    assert owner.ended == ["interrupted"]
    assert owner.pushed() == ["answer"]
