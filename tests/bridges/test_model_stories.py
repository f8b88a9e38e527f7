"""What the model of one bridge and Codex found: histories that once lost or doubled something."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bridges.test_model import BridgeAndCodex


@pytest.fixture
def story() -> Iterator[BridgeAndCodex]:
    story = BridgeAndCodex()
    story.begin(has_queue=True)
    yield story
    story.teardown()


def test_a_bridge_whose_app_server_is_gone_rests(story: BridgeAndCodex) -> None:
    story.claude_sends("queue", "open", 0)
    story.wire.cut(read=1)
    story.daemon.hub.gone()
    story.pass_time(60)


def test_a_stopped_turns_loss_is_looked_into_although_the_next_turn_runs(
    story: BridgeAndCodex,
) -> None:
    story.claude_sends("queue", "all is well", 0)
    story.codex_goes_on(2)
    assert story.codex["a"].running
    assert story.codex["a"].running.unshown
    story.a_person_stops_the_turn()
    story.a_person_types()  # before anybody heard of the stop


def test_a_turn_that_shows_late_what_it_answers_is_waited_for_after_a_restart(
    story: BridgeAndCodex,
) -> None:
    story.claude_sends("queue", "open", 0)
    story.wire.read_request()
    story.codex_goes_on(2)
    story.the_daemon_is_killed(read=0, goes_on=0)
    for _ in range(5):
        story.all_is_worked_off(1.0)
    assert story.codex["a"].running
    assert story.codex["a"].queue == []


def test_a_steer_that_its_turn_shows_late_is_waited_for_across_every_break(
    story: BridgeAndCodex,
) -> None:
    story.a_person_types()
    story.codex_goes_on(2)
    story.all_is_worked_off(0)
    story.claude_sends("steer", "the answer is lost", 0)
    story.connect()
    for _ in range(5):
        story.all_is_worked_off(1.0)
    story.the_daemon_is_killed(read=0, goes_on=0)
    for _ in range(5):
        story.all_is_worked_off(1.0)


def test_what_came_into_a_queue_as_it_was_paused_goes_before_what_starts_it(
    story: BridgeAndCodex,
) -> None:
    story.a_person_types()
    story.codex_goes_on(1)
    story.all_is_worked_off(0)
    story.claude_sends("queue", "open", 0)
    story.a_person_stops_the_turn()  # as the message is on its way
    story.all_is_worked_off(0)
    story.claude_sends("queue", "open", 0)


def test_an_overloaded_app_server_is_asked_again_what_it_has_open(story: BridgeAndCodex) -> None:
    story.codex_is_killed()
    story.codex_is_killed()
    story.a_person_types()
    story.the_daemon_is_killed(goes_on=3, read=0)
    story.codex_reads_a_request(overloaded=True)


def test_a_message_that_leaves_the_queue_between_two_looks_is_not_missing(
    story: BridgeAndCodex,
) -> None:
    story.claude_sends("queue", "open", 0)
    story.wire.read_request()
    story.codex_goes_on(1)
    story.the_daemon_is_killed(read=0, goes_on=0)
    story.all_is_worked_off(0)
    story.all_is_worked_off(1.0)


def test_what_codex_noted_as_it_was_killed_is_not_sent_again_and_claude_is_told(
    story: BridgeAndCodex,
) -> None:
    story.claude_sends("queue", "all is well", 0)
    story.codex_goes_on(2)
    story.codex_is_killed(noting=True)
    assert story.codex["a"].turns[-1].items == []


def test_what_a_turn_of_a_thread_might_have_shown_is_looked_for_when_a_person_is_back(
    story: BridgeAndCodex,
) -> None:
    story.claude_sends("queue", "the daemon is killed", 0)
    story.a_person_switches("b")
    story.a_person_types("a")
    story.all_is_worked_off(0)
    story.a_person_switches("a")
    story.codex_goes_on(4)
    story.all_is_worked_off(0)
    story.a_person_switches("b")


def test_what_waits_in_a_paused_queue_is_started_although_another_thread_is_bound(
    story: BridgeAndCodex,
) -> None:
    story.a_person_types()
    story.a_person_stops_the_turn()
    story.claude_sends("queue", "the daemon is killed", 1)
    story.a_person_types("b")


def test_a_paused_queue_that_codex_was_too_busy_to_start_is_started_later(
    story: BridgeAndCodex,
) -> None:
    story.a_person_types()
    story.codex_goes_on(1)
    story.a_person_stops_the_turn()
    story.all_is_worked_off(0)
    story.claude_sends("queue", "open", 0)
    story.requests_are_answered(2)
    story.codex_reads_a_request(overloaded=True)


def test_what_is_heard_while_a_thread_is_read_back_tells_of_no_later_turn(
    story: BridgeAndCodex,
) -> None:
    story.a_person_switches("b")
    story.claude_sends("queue", "all is well", 0)
    story.claude_sends("queue", "open", 0)
    story.a_person_switches("a")
    story.all_is_worked_off(0, thread="b", steps=3)
    story.a_person_switches("b")
    story.all_is_worked_off(0, overloaded=True)
    story.all_is_worked_off(10, thread="b", after=3, steps=4)


def test_a_cut_turn_of_a_thread_that_a_person_comes_back_to_is_told(story: BridgeAndCodex) -> None:
    story.claude_sends("queue", "open", 0)
    story.claude_sends("queue", "all is well", 0)
    story.a_person_switches("b")
    story.codex_goes_on(1)
    story.all_is_worked_off(0, steps=1)
    story.codex_is_killed()
    story.the_daemon_is_killed(read=0, goes_on=0, shown="a")
