"""The governor in sentences, and against a model of three lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from agentbridged.machines.governor import MINUTE, REPEATS, Direction, Governor, Hop, Limits, Trip

LIMITS = Limits(max_hops=4, max_per_minute=1000)
DIRECTIONS: tuple[Direction, Direction] = ("to_codex", "to_claude")


def ping_pong(governor: Governor, hops: int, *, start: int = 0, every: float = 100) -> None:
    for number in range(start, start + hops):
        governor.count(hop(number, at=number * every))


def hop(number: int, *, at: float, text: str | None = None) -> Hop:
    return Hop(DIRECTIONS[number % 2], text or f"text {number}", at)


def sign(trip: Trip | None) -> str | None:
    return trip.sign if trip else None


def test_as_many_hops_as_allowed_pass_and_the_next_one_trips() -> None:
    governor = Governor()
    for number in range(4):
        assert governor.judge(hop(number, at=number * 100), LIMITS) is None
        governor.count(hop(number, at=number * 100))
    trip = governor.judge(hop(4, at=400), LIMITS)
    assert trip == Trip("hops", "4 messages in a row without a person's word")


def test_a_judgement_counts_nothing() -> None:
    governor = Governor()
    ping_pong(governor, 3)
    for _ in range(10):
        assert governor.judge(hop(3, at=300), LIMITS) is None
    assert governor.hops == 3


def test_a_persons_word_starts_the_count_anew() -> None:
    governor = Governor()
    ping_pong(governor, 4)
    governor.spoke()
    assert governor.judge(hop(4, at=400), LIMITS) is None
    assert governor.hops == 0


def test_one_message_too_many_within_a_minute_trips() -> None:
    limits = Limits(max_hops=1000, max_per_minute=3)
    governor = Governor()
    ping_pong(governor, 3, every=10)
    assert sign(governor.judge(hop(3, at=30), limits)) == "rate"
    assert sign(governor.judge(hop(3, at=MINUTE - 0.01), limits)) == "rate"
    assert governor.judge(hop(3, at=MINUTE), limits) is None


def test_a_clock_set_back_makes_no_old_hop_a_new_one() -> None:
    limits = Limits(max_hops=1000, max_per_minute=3)
    governor = Governor()
    for number in range(3):
        governor.count(hop(number, at=10_000 + number))
    assert governor.judge(hop(3, at=5_000), limits) is None


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_side_that_says_the_same_again_and_again_trips(direction: Direction) -> None:
    governor = Governor()
    limits = Limits(max_hops=1000, max_per_minute=1000)
    for number in range(REPEATS - 1):
        same = Hop(direction, "Thanks! ", number * 100)
        assert governor.judge(same, limits) is None
        governor.count(same)
        governor.count(Hop(_other(direction), f"answer {number}", number * 100 + 50))
    assert sign(governor.judge(Hop(direction, "Thanks!", 1000), limits)) == "identical"
    assert governor.judge(Hop(direction, "Something else", 1000), limits) is None
    assert governor.judge(Hop(_other(direction), "Thanks!", 1000), limits) is None


def _other(direction: Direction) -> Direction:
    return "to_claude" if direction == "to_codex" else "to_codex"


QUARTERS = st.integers(min_value=0, max_value=480).map(lambda n: n / 4)
"""Seconds that add up without rounding: a minute is a minute on either side of a comparison."""


@given(
    gaps=st.lists(QUARTERS, max_size=40),
    limit=st.integers(min_value=1, max_value=10),
)
def test_no_minute_ever_holds_more_than_allowed(gaps: list[float], limit: int) -> None:
    governor, passed, now = Governor(), [], 0.0
    for number, gap in enumerate(gaps):
        now += gap
        if governor.judge(hop(number, at=now), Limits(10_000, limit)) is None:
            governor.count(hop(number, at=now))
            passed.append(now)
    assert all(sum(at - MINUTE < then <= at for then in passed) <= limit for at in passed)


class Conversation(RuleBasedStateMachine):
    """Two agents and now and then a person; the model is the list of hops since the last word."""

    def __init__(self) -> None:
        super().__init__()
        self.governor = Governor()
        self.since_the_word: list[Hop] = []
        self.now = 0.0

    @rule(
        direction=st.sampled_from(DIRECTIONS),
        text=st.sampled_from(["a", "b"]),
        gap=QUARTERS,
    )
    def say(self, direction: Direction, text: str, gap: float) -> None:
        self.now += gap
        said = Hop(direction, text, self.now)
        expected = self._model(said)
        assert sign(self.governor.judge(said, Limits(12, 5))) == expected
        if expected is None:
            self.governor.count(said)
            self.since_the_word.append(said)

    def _model(self, said: Hop) -> str | None:
        own = [h.text for h in self.since_the_word if h.direction == said.direction]
        lately = [h for h in self.since_the_word if said.at - h.at < MINUTE]
        same = [*own[-(REPEATS - 1) :], said.text] == [said.text] * REPEATS
        over = {"hops": len(self.since_the_word) >= 12, "rate": len(lately) >= 5, "identical": same}
        return next((name for name, tripped in over.items() if tripped), None)

    @rule()
    def a_person_speaks(self) -> None:
        self.governor.spoke()
        self.since_the_word = []

    @invariant()
    def counts_what_was_said(self) -> None:
        assert self.governor.hops == len(self.since_the_word)


TestConversation = Conversation.TestCase
