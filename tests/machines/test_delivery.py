from collections.abc import Callable
from dataclasses import replace

import pytest

from agentbridged.machines.delivery import (
    INTERRUPT_PATIENCE,
    LOOK_AGAIN,
    RETRY,
    TAKEN_OUT,
    Delivery,
    Enqueue,
    Facts,
    GiveUp,
    Interrupt,
    LookFor,
    Mail,
    StartThread,
    StartTurn,
    Steer,
)

IDLE = Facts(reachable=True, thread=True)
BUSY = replace(IDLE, active=True, turn_id="t1")
NO_THREAD = Facts(reachable=True, thread=False)
AWAY = Facts(reachable=False, thread=False)
ONE, TWO = Mail("m1", "one"), Mail("m2", "two")


def waiting(*mail: Mail) -> Delivery:
    delivery = Delivery()
    for each in mail:
        delivery.accept(each)
    return delivery


def missing(delivery: Delivery) -> None:
    """It is looked for, twice, and not found."""
    for now in (1, 2):
        delivery.looked(("m1",), set(), now=now)


def test_messages_go_in_order_one_at_a_time() -> None:
    delivery = waiting(ONE, TWO)
    assert delivery.plan(IDLE, now=0) == Enqueue(ONE, kick=False)
    assert delivery.plan(IDLE, now=0) is None
    delivery.placed("m1")
    assert delivery.plan(IDLE, now=0) == Enqueue(TWO, kick=False)
    delivery.placed("m2")
    assert (delivery.plan(IDLE, now=0), len(delivery)) == (None, 0)


def test_what_is_in_hand_when_nothing_can_be_written_down_is_looked_for() -> None:
    delivery = waiting(ONE)
    delivery.unsure()
    delivery.plan(IDLE, now=0)
    delivery.unsure()
    assert delivery.plan(IDLE, now=0) == LookFor(("m1",))


def test_a_busy_codex_gets_it_through_its_queue() -> None:
    assert waiting(ONE).plan(BUSY, now=0) == Enqueue(ONE, kick=False)


def test_after_an_interrupt_the_queue_is_started() -> None:
    facts = replace(IDLE, interrupted=True)
    assert waiting(ONE).plan(facts, now=0) == Enqueue(ONE, kick=True)


def test_nothing_is_done_while_codex_is_away_or_has_no_thread() -> None:
    assert waiting(ONE).plan(AWAY, now=0) is None
    assert waiting(ONE).plan(NO_THREAD, now=0) is None


def test_a_thread_is_started_when_the_sender_asked_for_one() -> None:
    delivery = waiting(ONE, replace(TWO, start_thread=True))
    assert delivery.plan(NO_THREAD, now=0) == StartThread("m2")
    assert delivery.plan(NO_THREAD, now=0) is None
    delivery.thread_started("m2")
    assert delivery.plan(IDLE, now=0) == Enqueue(ONE, kick=False)


def test_a_lost_answer_is_looked_for_before_anything_is_sent() -> None:
    delivery = waiting(ONE, TWO)
    delivery.plan(IDLE, now=0)
    delivery.lost("m1")
    assert delivery.plan(IDLE, now=1) == LookFor(("m1",))
    delivery.found("m1")
    assert delivery.plan(IDLE, now=1) == Enqueue(TWO, kick=False)


def test_what_is_not_found_is_sent_again() -> None:
    delivery = waiting(replace(ONE, doubtful=True))
    assert delivery.plan(IDLE, now=1) == LookFor(("m1",))
    delivery.looked(("m1",), set(), now=1)
    assert delivery.next_deadline(now=1) == 1 + LOOK_AGAIN
    assert delivery.plan(IDLE, now=1) is None
    assert delivery.plan(IDLE, now=1 + LOOK_AGAIN) == LookFor(("m1",))
    delivery.looked(("m1",), set(), now=1 + LOOK_AGAIN)
    assert delivery.plan(IDLE, now=1 + LOOK_AGAIN) == Enqueue(ONE, kick=False)


def test_what_is_found_at_the_second_look_is_not_sent_again() -> None:
    delivery = waiting(replace(ONE, doubtful=True))
    delivery.looked(("m1",), set(), now=1)
    delivery.looked(("m1",), {"m1"}, now=2)
    assert len(delivery) == 0


def test_what_a_turn_that_began_meanwhile_may_show_is_not_missing() -> None:
    delivery = waiting(replace(ONE, doubtful=True))
    delivery.looked(("m1",), set(), now=1)
    delivery.looked(("m1",), set(), opened=False, now=2)
    assert delivery.plan(BUSY, now=3) == LookFor(("m1",))


def test_each_doubt_takes_two_looks_of_its_own() -> None:
    delivery = waiting(replace(ONE, doubtful=True))
    delivery.looked(("m1",), set(), now=1)
    delivery.placed("m1")  # the second look found it in the queue
    delivery.doubt(ONE)
    delivery.looked(("m1",), set(), now=5)
    assert delivery.plan(IDLE, now=9) == LookFor(("m1",))
    delivery.reconnected()
    delivery.looked(("m1",), set(), now=9)
    assert delivery.plan(IDLE, now=20) == LookFor(("m1",))


@pytest.mark.parametrize("news", [Delivery.recall, Delivery.reconnected])
def test_what_a_turn_of_a_thread_that_was_left_may_show_waits_for_news_of_it(
    news: Callable[[Delivery], None],
) -> None:
    delivery = waiting(replace(ONE, doubtful=True, steered=True))
    delivery.accept(TWO)
    delivery.plan(IDLE, now=0)
    delivery.looked(("m1",), set(), left={"m1"}, now=1)
    assert delivery.plan(IDLE, now=1) == Enqueue(TWO, kick=False)
    delivery.placed("m2")
    delivery.accept(replace(ONE, doubtful=True, steered=True))  # the store was mended
    assert len(delivery) == 1
    assert delivery.plan(IDLE, now=1) is None
    news(delivery)
    assert delivery.plan(IDLE, now=1) == LookFor(("m1",))
    missing(delivery)
    assert delivery.plan(IDLE, now=9) == Enqueue(ONE, kick=False)


def test_what_was_there_long_ago_and_is_no_more_is_not_sent_again() -> None:
    delivery = waiting(TWO)
    delivery.doubt(replace(ONE, stale=True))
    assert delivery.plan(IDLE, now=0) == LookFor(("m1",))
    missing(delivery)
    assert delivery.plan(IDLE, now=9) == GiveUp("m1", TAKEN_OUT)
    assert delivery.plan(IDLE, now=9) == Enqueue(TWO, kick=False)


def test_nothing_is_looked_for_while_a_turn_has_yet_to_show_what_it_answers() -> None:
    delivery = waiting(replace(ONE, doubtful=True))
    assert delivery.plan(replace(BUSY, opened=False), now=1) is None
    assert delivery.plan(BUSY, now=1) == LookFor(("m1",))


def test_what_codex_had_taken_and_may_have_lost_is_looked_for_before_any_other() -> None:
    delivery = waiting(ONE, TWO)
    delivery.plan(IDLE, now=0)
    delivery.placed("m1")
    delivery.doubt(ONE)
    delivery.doubt(ONE)
    assert len(delivery) == 2
    assert delivery.plan(IDLE, now=0) == LookFor(("m1",))
    missing(delivery)
    assert delivery.plan(IDLE, now=9) == Enqueue(ONE, kick=False)


def test_later_means_later_and_each_time_longer() -> None:
    delivery = waiting(ONE)
    delivery.plan(IDLE, now=10)
    delivery.later("m1", now=10)
    assert delivery.next_deadline(now=10) == 10 + RETRY[0]
    assert delivery.plan(IDLE, now=10 + RETRY[0] - 0.01) is None
    assert delivery.plan(IDLE, now=10 + RETRY[0]) == Enqueue(ONE, kick=False)
    delivery.later("m1", now=20)
    assert delivery.next_deadline(now=20) == 20 + RETRY[1]


def test_the_longest_wait_is_repeated_and_a_success_forgives() -> None:
    delivery = waiting(ONE, TWO)
    waits = []
    for _ in range(len(RETRY) + 1):
        delivery.plan(IDLE, now=1000)
        delivery.later("m1", now=0)
        waits.append(delivery.next_deadline(now=0))
    assert waits == [*RETRY, RETRY[-1]]
    delivery.plan(IDLE, now=1000)
    delivery.placed("m1")
    delivery.plan(IDLE, now=1000)
    delivery.later("m2", now=1000)
    assert delivery.next_deadline(now=1000) == 1000 + RETRY[0]


def test_what_was_doubted_and_found_is_settled() -> None:
    delivery = waiting(ONE)
    delivery.plan(IDLE, now=0)
    delivery.placed("m1")
    delivery.doubt(ONE)
    delivery.looked(("m1",), {"m1"}, now=0)
    swallowed = replace(IDLE, interrupted=True, swallowed="t1")
    assert delivery.plan(swallowed, now=9) is None


def test_a_refused_message_does_not_hold_up_the_next() -> None:
    delivery = waiting(ONE, TWO)
    delivery.plan(IDLE, now=0)
    delivery.refused("m1")
    assert delivery.plan(IDLE, now=0) == Enqueue(TWO, kick=False)


def test_a_steer_names_the_running_turn() -> None:
    steer = replace(ONE, when_busy="steer")
    assert waiting(steer).plan(BUSY, now=0) == Steer(steer, "t1")
    assert waiting(steer).plan(IDLE, now=0) == Enqueue(steer, kick=False)
    assert waiting(steer).plan(replace(BUSY, turn_id=None), now=0) is None


@pytest.mark.requirement("T2")
def test_a_steer_that_found_no_turn_goes_the_plain_way() -> None:
    delivery = waiting(replace(ONE, when_busy="steer"))
    delivery.plan(BUSY, now=0)
    delivery.not_active("m1")
    assert delivery.plan(BUSY, now=0) == Enqueue(ONE, kick=False)


def test_an_interrupt_is_followed_by_the_message_when_the_turn_ended() -> None:
    mail = replace(ONE, when_busy="interrupt")
    delivery = waiting(mail)
    assert delivery.plan(BUSY, now=0) == Interrupt(mail, "t1")
    delivery.interrupted("m1")
    assert delivery.plan(BUSY, now=1) is None
    ended = replace(IDLE, interrupted=True)
    assert delivery.plan(ended, now=2) == Enqueue(mail, kick=True)


@pytest.mark.requirement("T2")
def test_an_interrupt_that_does_not_end_the_turn_injects_nothing() -> None:
    mail = replace(ONE, when_busy="interrupt")
    delivery = waiting(mail, TWO)
    delivery.plan(BUSY, now=0)
    delivery.interrupted("m1")
    assert delivery.next_deadline(now=1) == INTERRUPT_PATIENCE
    assert delivery.plan(BUSY, now=INTERRUPT_PATIENCE - 0.1) is None
    step = delivery.plan(BUSY, now=INTERRUPT_PATIENCE)
    assert isinstance(step, GiveUp)
    assert step.id == "m1"
    assert delivery.plan(BUSY, now=INTERRUPT_PATIENCE) == Enqueue(TWO, kick=False)


def test_an_interrupt_whose_turn_was_followed_by_anothers_goes_the_plain_way() -> None:
    mail = replace(ONE, when_busy="interrupt")
    delivery = waiting(mail)
    delivery.plan(BUSY, now=0)
    delivery.interrupted("m1")
    next_turn = replace(BUSY, turn_id="t2")
    assert delivery.plan(replace(BUSY, turn_id=None), now=1) is None
    assert delivery.plan(next_turn, now=1) == Enqueue(ONE, kick=False)


def test_without_a_queue_a_turn_is_started_on_an_idle_thread_and_on_no_other() -> None:
    delivery = waiting(ONE)
    delivery.plan(IDLE, now=0)
    delivery.unknown_queue("m1")
    assert delivery.plan(replace(BUSY, has_queue=False), now=0) is None
    assert delivery.plan(replace(IDLE, has_queue=False), now=0) == StartTurn(ONE)


def test_a_message_accepted_twice_is_delivered_once() -> None:
    delivery = waiting(ONE, ONE)
    delivery.plan(IDLE, now=0)
    delivery.placed("m1")
    assert delivery.plan(IDLE, now=0) is None


def steered() -> Delivery:
    delivery = waiting(replace(ONE, when_busy="steer"), TWO)
    delivery.plan(BUSY, now=0)
    delivery.steered("m1")
    return delivery


def test_a_steered_message_that_its_turn_shows_is_settled() -> None:
    delivery = steered()
    assert len(delivery) == 2
    delivery.found("m1")
    assert delivery.plan(IDLE, now=0) == Enqueue(TWO, kick=False)


@pytest.mark.requirement("T2")
def test_a_steered_message_that_its_turn_never_showed_is_looked_for_and_goes_first() -> None:
    delivery = steered()
    assert delivery.plan(BUSY, now=0) == Enqueue(TWO, kick=False)
    delivery.later("m2", now=0)
    assert delivery.plan(IDLE, now=9) == LookFor(("m1",))
    assert delivery.is_steered("m1")
    missing(delivery)
    assert delivery.plan(IDLE, now=9) == Enqueue(ONE, kick=False)


def test_a_turn_that_showed_a_message_before_the_answer_came_leaves_nothing_due() -> None:
    delivery = waiting(replace(ONE, when_busy="steer"))
    delivery.plan(BUSY, now=0)
    delivery.found("m1")
    delivery.steered("m1")
    assert (len(delivery), delivery.plan(IDLE, now=0)) == (0, None)


@pytest.mark.requirement("T2")
def test_what_a_stopped_turn_swallowed_is_looked_for_once() -> None:
    delivery = waiting(ONE)
    delivery.plan(IDLE, now=0)
    delivery.placed("m1")
    assert delivery.plan(IDLE, now=0) is None
    swallowed = replace(IDLE, interrupted=True, swallowed="t1")
    assert delivery.plan(swallowed, now=0) == LookFor(("m1",))
    delivery.placed("m1")  # it is in the queue still
    delivery.looked(("m1",), set(), now=0)
    assert delivery.plan(swallowed, now=0) is None
    assert delivery.plan(replace(swallowed, swallowed="t2"), now=0) == LookFor(("m1",))
    missing(delivery)
    assert delivery.plan(swallowed, now=9) == Enqueue(ONE, kick=True)


def test_what_is_overdue_is_no_deadline() -> None:
    mail = replace(ONE, when_busy="interrupt")
    delivery = waiting(mail)
    delivery.plan(BUSY, now=0)
    delivery.interrupted("m1")
    assert delivery.next_deadline(now=INTERRUPT_PATIENCE - 0.1) == INTERRUPT_PATIENCE
    assert delivery.plan(AWAY, now=INTERRUPT_PATIENCE) is None
    assert delivery.next_deadline(now=INTERRUPT_PATIENCE) is None


@pytest.mark.requirement("T2")
def test_a_turn_that_has_shown_nothing_yet_is_not_interrupted() -> None:
    mail = replace(ONE, when_busy="interrupt")
    delivery = waiting(mail)
    assert delivery.plan(replace(BUSY, opened=False), now=0) is None
    assert delivery.plan(BUSY, now=0) == Interrupt(mail, "t1")


def test_an_interrupt_that_codex_had_no_time_for_is_asked_for_again() -> None:
    mail = replace(ONE, when_busy="interrupt")
    delivery = waiting(mail)
    assert delivery.plan(BUSY, now=0) == Interrupt(mail, "t1")
    delivery.later("m1", now=0)
    assert delivery.plan(BUSY, now=40) == Interrupt(mail, "t1")
    delivery.lost("m1")
    for now in (40, 50):
        assert delivery.plan(BUSY, now=now) == LookFor(("m1",))
        delivery.looked(("m1",), set(), now=now)
    assert delivery.plan(BUSY, now=80) == Interrupt(mail, "t1")
