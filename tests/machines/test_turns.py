import pytest

from agentbridged.machines.turns import Looks, Turns, Waiting, closed
from agentbridged.wire.codex import Item, Thread, ThreadStatus, Turn

IDLE = ThreadStatus("idle")
ACTIVE = ThreadStatus("active")
APPROVAL = ThreadStatus("active", ["waitingOnApproval"])
QUESTION = ThreadStatus("active", ["waitingOnUserInput"])


def running(turn_id: str = "t1") -> Turns:
    turns = Turns()
    turns.report(ACTIVE, now=0)
    turns.started(turn_id)
    return turns


def test_nothing_is_known_at_first() -> None:
    turns = Turns()
    assert turns.status == ThreadStatus("notLoaded")
    assert (turns.turn_id, turns.waiting, turns.interrupted) == (None, None, False)
    assert turns.swallowed == ""


def test_a_thread_that_is_not_active_waits_for_nobody_whatever_its_flags() -> None:
    turns = Turns()
    turns.report(ThreadStatus("idle", ["waitingOnApproval"]), now=0)
    assert turns.waiting is None


def test_an_ended_turn_leaves_the_thread_idle() -> None:
    turns = running()
    turns.ended(Turn("t1", "completed"))
    assert turns.status == IDLE


def test_what_is_read_of_a_completed_turn_swallowed_nothing() -> None:
    turns = Turns()
    turns.learned(Thread("th", status=IDLE), Turn("t1", "completed"), now=0)
    assert turns.swallowed == ""
    turns.learned(Thread("th", status=IDLE), Turn("t1"), now=0)
    assert turns.turn_id is None


def test_a_turn_runs_from_its_start_to_its_end() -> None:
    turns = running()
    assert (turns.active, turns.turn_id) == (True, "t1")
    turns.ended(Turn("t1", "completed"))
    assert (turns.active, turns.turn_id) == (False, None)


@pytest.mark.requirement("T1")
def test_a_lost_end_is_mended_by_the_next_status() -> None:
    turns = running()
    turns.report(IDLE, now=5)
    assert (turns.active, turns.turn_id) == (False, None)


@pytest.mark.requirement("T1")
def test_the_end_of_another_turn_leaves_the_running_one() -> None:
    turns = running("t2")
    turns.ended(Turn("t1", "completed"))
    assert (turns.active, turns.turn_id) == (True, "t2")


def test_a_start_is_believed_although_the_status_did_not_come() -> None:
    turns = Turns()
    turns.started("t1")
    assert turns.active


def test_who_is_waited_for_keeps_its_beginning_until_it_changes() -> None:
    turns = running()
    turns.report(APPROVAL, now=10)
    assert turns.waiting == Waiting("approval", 10)
    turns.report(APPROVAL, now=20)
    assert turns.waiting == Waiting("approval", 10)
    turns.report(QUESTION, now=30)
    assert turns.waiting == Waiting("user_input", 30)
    turns.report(ACTIVE, now=40)
    assert turns.waiting is None


def test_nobody_is_waited_for_when_the_turn_ended() -> None:
    turns = running()
    turns.report(APPROVAL, now=10)
    turns.ended(Turn("t1", "interrupted"))
    assert turns.waiting is None
    assert turns.interrupted


def test_an_interrupt_is_forgotten_when_the_next_turn_starts() -> None:
    turns = running()
    turns.ended(Turn("t1", "interrupted"))
    turns.started("t2")
    assert not turns.interrupted


def test_what_is_read_afresh_is_the_truth() -> None:
    turns = running("gone")
    turns.learned(Thread("th", status=ACTIVE), Turn("t9"), now=1)
    assert turns.turn_id == "t9"


@pytest.mark.requirement("T1")
def test_a_read_that_finds_the_thread_idle_ends_the_turn() -> None:
    turns = running("gone")
    turns.learned(Thread("th", status=IDLE), Turn("t9", "interrupted"), now=2)
    assert (turns.active, turns.turn_id, turns.interrupted) == (False, None, True)


def test_a_turn_is_open_once_it_showed_something() -> None:
    turns = running()
    turns.showed("t0")
    assert not turns.opened
    turns.showed("t1")
    assert turns.opened


def test_a_turn_stopped_before_it_showed_anything_swallowed_what_it_was_to_answer() -> None:
    turns = running()
    turns.ended(Turn("t1", "interrupted"))
    assert turns.swallowed == "t1"


@pytest.mark.requirement("T2")
def test_what_a_stopped_turn_swallowed_is_not_forgotten_when_the_next_turn_starts() -> None:
    turns = running()
    turns.ended(Turn("t1", "interrupted"))
    turns.started("t2")
    turns.showed("t2")
    turns.ended(Turn("t2", "interrupted"))
    assert turns.swallowed == "t1"


def test_a_running_turn_that_is_read_is_open_if_it_shows_something() -> None:
    turns = Turns()
    turns.learned(Thread("th", status=ACTIVE), Turn("t1"), now=0)
    assert not turns.opened
    turns.learned(Thread("th", status=ACTIVE), Turn("t1", items=[Item("userMessage", "i")]), now=0)
    assert turns.opened


def test_of_a_stopped_turn_that_nobody_heard_the_worst_is_assumed() -> None:
    turns = Turns()
    turns.learned(Thread("th", status=IDLE), Turn("t9", "interrupted"), now=2)
    assert turns.swallowed == "t9"


@pytest.mark.requirement("T1")
def test_between_a_turns_last_status_and_its_end_the_queue_may_be_paused() -> None:
    turns = running()
    believed = []
    turns.report(IDLE, now=1)
    believed.append(turns.interrupted)
    turns.ended(Turn("t1", "completed"))
    believed.append(turns.interrupted)
    turns.report(IDLE, now=2)
    believed.append(turns.interrupted)
    assert believed == [True, False, False]


def test_a_turn_that_we_began_runs_before_its_news_come() -> None:
    turns = Turns()
    turns.report(IDLE, now=0)
    turns.begun("t1")
    assert (turns.active, turns.turn_id) == (True, "t1")
    turns.ended(Turn("t1", "completed"))
    assert not turns.active


def test_a_turn_that_was_over_before_we_heard_of_its_begin_does_not_run() -> None:
    turns = running("t1")
    turns.ended(Turn("t1", "completed"))
    turns.begun("t1")
    assert not turns.active


def test_a_turn_has_shown_only_what_is_its_own() -> None:
    turns = running("t1")
    turns.showed("t1")
    assert turns.has_shown("t1")
    assert not turns.has_shown("t2")


def test_a_turn_listed_as_running_is_passed_over_when_another_turn_has_news() -> None:
    turns = running("t2")
    turns.read_back([Turn("t1", "completed"), Turn("t2")])
    assert not turns.passed_over()
    assert not turns.passed_over("t1")
    assert not turns.passed_over("t2")
    assert turns.passed_over("t3")


def test_a_turn_listed_as_running_on_an_idle_thread_is_passed_over_until_its_end_is_told() -> None:
    turns = Turns()
    turns.report(IDLE, now=0)
    turns.read_back([Turn("t1")])
    assert turns.passed_over()
    turns.ended(Turn("t0", "completed"))
    assert turns.passed_over()
    turns.ended(Turn("t1", "completed"))
    assert not turns.passed_over()
    assert not turns.passed_over("t2")


def test_turns_that_all_ended_pass_nothing_over() -> None:
    turns = Turns()
    turns.read_back([Turn("t1", "completed")])
    assert not turns.passed_over("t2")
    turns.read_back([])
    assert not turns.passed_over()


def test_what_another_turn_followed_has_ended_however_it_is_listed() -> None:
    listed = [Turn("t1"), Turn("t2", "completed"), Turn("t3")]
    assert [turn.status for turn in closed(listed)] == ["interrupted", "completed", "inProgress"]
    assert closed([]) == []


def test_a_turn_is_interrupted_when_it_is_listed_so_twice() -> None:
    before, stopped = Turn("t1", "interrupted"), Turn("t2", "interrupted")
    looks = Looks()
    assert looks.doubted([before, stopped]) == [before, Turn("t2")]
    assert looks.doubted([before, stopped]) == [before, stopped]
    assert Looks().doubted([before, Turn("t2", "completed")])[-1].status == "completed"


def test_only_an_interruption_is_doubted() -> None:
    for turns in ([], [Turn("t1")], [Turn("t1", "failed")], [Turn("t1", "completed")]):
        assert Looks().doubted(turns) == turns


def test_the_end_of_each_turn_is_looked_for_so_often_and_no_more() -> None:
    looks = Looks()
    assert [looks.again("t1") for _ in range(7)] == [*Looks.PATIENCE, None, None]
    assert looks.again("t2") == Looks.PATIENCE[0]
