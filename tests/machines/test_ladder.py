import pytest

from agentbridged.machines.ladder import (
    HOOK_LIMIT,
    PATIENCE,
    SETTLING,
    Passage,
    Sign,
    Ways,
    at_turn_end,
    is_overdue,
    may_repeat,
    push,
)
from agentbridged.wire.claude import Step

BOTH = Ways(idle=True)
NO_CHANNEL = Ways(channel="the session was not started with one", idle=True)
NEITHER = Ways(inbox="none named", channel="none asked for", idle=True)


def handed(*steps: Step, sign: Sign = "", turns: int = 0, at: float = 0.0) -> Passage:
    passage = Passage()
    for step in steps:
        passage.hand(step, now=at)
    passage.sign, passage.turns = sign, turns
    return passage


@pytest.mark.parametrize(
    ("ways", "step"),
    [
        (BOTH, "inbox"),
        (NO_CHANNEL, "inbox"),
        (Ways(inbox="none named"), "channel"),
        (NEITHER, None),
    ],
)
def test_the_first_way_that_there_is_carries_a_new_message(ways: Ways, step: Step | None) -> None:
    assert push(Passage(), ways, now=0) == step


def test_a_way_that_failed_gives_way_to_the_next() -> None:
    passage = handed("inbox")
    passage.fail("inbox")
    assert push(passage, BOTH, now=0) == "channel"
    assert push(passage, NO_CHANNEL, now=0) is None
    passage.failed.clear()
    assert push(passage, NO_CHANNEL, now=0) == "inbox"


def test_what_shows_no_sign_in_an_idle_session_goes_to_the_channel_not_before() -> None:
    passage = handed("inbox", at=100)
    assert push(passage, BOTH, now=100 + PATIENCE - 0.1) is None
    assert push(passage, BOTH, now=100 + PATIENCE) == "channel"
    assert push(passage, NO_CHANNEL, now=100 + PATIENCE) is None


def test_what_came_over_the_channel_is_never_pushed_again() -> None:
    for steps in (("channel",), ("inbox", "channel"), ("inbox", "stop_hook"), ("read",)):
        assert push(handed(*steps), BOTH, now=10 * PATIENCE) is None


@pytest.mark.parametrize(
    ("passage", "ways"),
    [
        (handed("inbox"), Ways(idle=False)),
        (handed("inbox"), Ways(idle=True, proof="no transcript")),
        (handed("inbox", sign="queued"), BOTH),
        (handed("inbox", sign="held"), BOTH),
        (handed("inbox", sign="shown"), BOTH),
        (Passage(), BOTH),
    ],
)
def test_a_busy_or_blind_session_and_what_shows_a_sign_are_waited_for(
    passage: Passage, ways: Ways
) -> None:
    assert not is_overdue(passage, ways, now=10 * PATIENCE)


def test_the_hook_hands_over_what_nothing_else_did() -> None:
    assert at_turn_end(Passage(), NEITHER, now=0)


def test_the_hook_hands_over_what_showed_no_sign_in_its_time() -> None:
    passage = handed("inbox", at=100)
    assert not at_turn_end(passage, BOTH, now=100)
    assert not may_repeat(passage, BOTH, now=100)
    assert may_repeat(passage, BOTH, now=100 + SETTLING)
    assert at_turn_end(passage, BOTH, now=100 + SETTLING)


@pytest.mark.parametrize("sign", ["held", "shown"])
def test_the_hook_leaves_to_the_person_and_to_claude_what_is_theirs(sign: Sign) -> None:
    assert not at_turn_end(handed("inbox", sign=sign, turns=9), BOTH, now=1000)


def test_the_hook_leaves_what_is_queued_to_the_next_turn_and_no_longer() -> None:
    assert not at_turn_end(handed("inbox", sign="queued", turns=1), BOTH, now=1000)
    assert at_turn_end(handed("inbox", sign="queued", turns=2), BOTH, now=1000)


def test_the_hook_says_nothing_twice_in_one_turn_and_gives_up_in_the_end() -> None:
    assert not at_turn_end(handed("stop_hook"), BOTH, now=1000)
    assert at_turn_end(handed("stop_hook", turns=1), BOTH, now=1000)
    steps: list[Step] = ["stop_hook"] * HOOK_LIMIT
    assert not at_turn_end(handed(*steps, turns=1), BOTH, now=1000)


def test_where_nothing_can_be_proven_the_hook_repeats_nothing() -> None:
    blind = Ways(proof="no transcript")
    assert not at_turn_end(handed("inbox", turns=5), blind, now=1000)
    assert at_turn_end(Passage(), blind, now=1000)


def test_what_may_be_repeated_is_waited_for_and_nothing_else() -> None:
    blind = Ways(proof="no transcript yet")
    assert may_repeat(handed("inbox", turns=1), blind, now=1000)
    assert not may_repeat(handed("inbox", turns=2), blind, now=1000)
    assert may_repeat(handed("inbox", sign="queued", turns=2), BOTH, now=1000)
    assert not may_repeat(handed("inbox", sign="queued", turns=1), BOTH, now=1000)
    assert not may_repeat(handed("inbox", sign="held", turns=1), blind, now=1000)
    assert not may_repeat(Passage(), BOTH, now=1000)
