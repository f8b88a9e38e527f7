import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbridged.machines.child import (
    BACKOFF,
    EXITED,
    FATAL,
    RUNNING,
    STARTING,
    STOPPED,
    STOPPING,
    TRANSITIONS,
    ChildState,
    Command,
    Generation,
    ManagedChild,
    RestartPolicy,
    Signal,
    Spawn,
)

POLICY = RestartPolicy(start_timeout=10, stop_timeout=5, backoff=(1, 2), steady_after=30)
FIRST, SECOND, THIRD, FOURTH = map(Generation, (1, 2, 3, 4))


def running(policy: RestartPolicy = POLICY) -> ManagedChild:
    child = ManagedChild(policy)
    assert child.start(now=0) == [Spawn(FIRST)]
    assert child.ready(FIRST, now=0) == []
    return child


def test_a_crashed_child_is_respawned_as_a_new_generation_after_the_backoff() -> None:
    child = running()
    assert child.exited(FIRST, now=100) == []
    assert (child.state, child.deadline) == (BACKOFF, 101)
    assert child.expire(now=100.9) == []
    assert child.expire(now=101) == [Spawn(SECOND)]
    assert child.state is STARTING


@pytest.mark.requirement("C4")
def test_late_news_of_an_older_generation_changes_nothing() -> None:
    child = running()
    child.exited(FIRST, now=0)
    child.expire(now=1)
    child.ready(FIRST, now=2)
    child.exited(FIRST, now=2)
    assert (child.state, child.generation) == (STARTING, SECOND)


def test_a_child_that_keeps_dying_is_given_up_on() -> None:
    child = ManagedChild(POLICY)
    child.start(now=0)
    for generation, at in ((FIRST, 0), (SECOND, 10)):
        child.exited(generation, now=at)
        child.expire(now=at + 5)
    child.exited(THIRD, now=20)
    assert (child.state, child.deadline) == (FATAL, None)


def test_a_child_that_dies_as_soon_as_it_is_ready_is_given_up_on_too() -> None:
    child = running()
    for generation, at in ((FIRST, 10), (SECOND, 20)):
        child.exited(generation, now=at)
        child.expire(now=at + 2)
        child.ready(Generation(generation + 1), now=at + 2)
    child.exited(THIRD, now=30)
    assert child.state is FATAL


def test_running_for_a_while_forgives_earlier_failures() -> None:
    child = running()
    child.exited(FIRST, now=0)
    child.expire(now=1)
    child.ready(SECOND, now=2)
    assert (child.failures, child.deadline) == (1, 32)
    child.expire(now=31.9)
    assert child.failures == 1
    assert child.expire(now=32) == []
    assert (child.state, child.failures, child.deadline) == (RUNNING, 0, None)


def test_a_fatal_child_may_be_started_again_with_a_clean_slate() -> None:
    child = running(RestartPolicy(backoff=()))
    child.exited(FIRST, now=0)
    assert child.state is FATAL
    assert child.start(now=9) == [Spawn(SECOND)]


def test_a_clean_exit_is_the_end_where_the_policy_says_so() -> None:
    child = running(RestartPolicy(restart_on_success=False))
    child.exited(FIRST, now=1, success=True)
    assert (child.state, child.deadline) == (EXITED, None)
    assert child.start(now=2) == [Spawn(SECOND)]


def test_a_clean_exit_before_it_was_ready_is_a_failure_in_any_case() -> None:
    child = ManagedChild(RestartPolicy(restart_on_success=False))
    child.start(now=0)
    child.exited(FIRST, now=1, success=True)
    assert child.state is BACKOFF


def test_a_child_that_does_not_get_ready_is_killed_and_tried_again() -> None:
    child = ManagedChild(POLICY)
    child.start(now=0)
    assert child.expire(now=9.9) == []
    assert child.expire(now=10) == [Signal(FIRST, signal.SIGKILL)]
    child.exited(FIRST, now=10.1)
    assert child.state is BACKOFF


def test_a_child_that_ignores_each_signal_gets_the_next_one_at_its_deadline() -> None:
    child = ManagedChild(POLICY, stop_signals=(signal.SIGTERM, signal.SIGINT))
    child.start(now=0)
    child.ready(FIRST, now=1)
    assert child.stop(now=50) == [Signal(FIRST, signal.SIGTERM)]
    assert child.state is STOPPING
    assert child.expire(now=54.9) == []
    assert child.expire(now=55) == [Signal(FIRST, signal.SIGINT)]
    assert child.expire(now=60) == [Signal(FIRST, signal.SIGKILL)]
    assert child.expire(now=65) == [Signal(FIRST, signal.SIGKILL)]
    assert child.exited(FIRST, now=65.1) == []
    assert child.state is STOPPED


def test_a_second_stop_does_not_start_the_escalation_anew() -> None:
    child = running()
    child.stop(now=0)
    assert child.stop(now=4) == []
    assert child.expire(now=5) == [Signal(FIRST, signal.SIGKILL)]


def test_a_child_that_starts_may_be_stopped_before_it_is_ready() -> None:
    child = ManagedChild(POLICY)
    child.start(now=0)
    assert child.stop(now=1) == [Signal(FIRST, signal.SIGTERM)]
    child.ready(FIRST, now=2)
    assert child.state is STOPPING


def test_stopping_during_backoff_cancels_the_respawn() -> None:
    child = running()
    child.exited(FIRST, now=0)
    assert child.stop(now=0.5) == []
    assert (child.state, child.expire(now=9)) == (STOPPED, [])


def test_an_adopted_child_runs_and_its_successor_gets_the_next_generation() -> None:
    child = ManagedChild(POLICY, generation=3)
    assert child.adopt(THIRD, now=0) == []
    assert (child.state, child.generation) == (RUNNING, THIRD)
    child.exited(THIRD, now=5)
    assert child.expire(now=6) == [Spawn(FOURTH)]


@pytest.mark.requirement("C4")
def test_an_older_generation_than_the_newest_known_is_not_adopted() -> None:
    child = ManagedChild(POLICY, generation=3)
    child.adopt(SECOND, now=0)
    assert (child.state, child.generation) == (STOPPED, THIRD)


def test_starting_what_is_already_up_does_nothing() -> None:
    assert running().start(now=5) == []


@pytest.mark.parametrize("state", ChildState)
def test_every_state_has_a_way_on(state: ChildState) -> None:
    assert TRANSITIONS[state]


@pytest.mark.parametrize("state", ChildState)
def test_every_state_is_named_in_supervisors_words(state: ChildState) -> None:
    assert state.value == state.name


Step = st.sampled_from(["start", "stop", "ready", "exited", "clean", "old", "expire", "adopt"])


def act(child: ManagedChild, step: str, now: float) -> list[Command]:
    match step:
        case "start":
            return child.start(now=now)
        case "stop":
            return child.stop(now=now)
        case "ready":
            return child.ready(child.generation, now=now)
        case "exited" | "clean":
            return child.exited(child.generation, now=now, success=step == "clean")
        case "old":
            old = Generation(child.generation - 1)
            return child.ready(old, now=now) + child.exited(old, now=now)
        case "adopt":
            return child.adopt(child.generation, now=now)
        case _:
            return child.expire(now=now)


@given(st.lists(Step, max_size=40), st.booleans())
def test_whatever_happens_moves_are_lawful_and_the_generation_only_grows(
    steps: list[str], restart: bool
) -> None:
    child = ManagedChild(RestartPolicy(backoff=(1, 2), restart_on_success=restart))
    now, alive = 0.0, 0
    for step in steps:
        before = child.generation
        now = now + 1 if child.deadline is None else max(now + 1, child.deadline)
        commands = act(child, step, now)
        spawned = [command for command in commands if isinstance(command, Spawn)]
        if step in ("exited", "clean"):
            alive = 0
        assert alive + len(spawned) <= 1, "two processes at once"
        alive += len(spawned)
        assert child.generation == before + len(spawned)
        assert (child.deadline is not None) or child.state not in (STARTING, BACKOFF, STOPPING)


Late = st.tuples(st.sampled_from(["ready", "exited", "clean"]), st.integers(1, 3))


@pytest.mark.requirement("C4")
@given(st.lists(st.tuples(Step, st.lists(Late, max_size=3)), max_size=40), st.booleans())
def test_no_late_news_of_any_older_generation_makes_a_difference(
    steps: list[tuple[str, list[tuple[str, int]]]], restart: bool
) -> None:
    policy = RestartPolicy(backoff=(1, 2), restart_on_success=restart)
    disturbed, undisturbed = ManagedChild(policy), ManagedChild(policy)
    now = 0.0
    for step, late in steps:
        now += 1
        assert act(disturbed, step, now) == act(undisturbed, step, now)
        for news, ago in late:
            old = Generation(disturbed.generation - ago)
            if news == "ready":
                assert disturbed.ready(old, now=now) == []
            else:
                assert disturbed.exited(old, now=now, success=news == "clean") == []
        assert vars(disturbed) == vars(undisturbed)


def test_a_child_that_never_failed_is_not_watched_for_steadiness() -> None:
    assert running().deadline is None


def test_an_end_that_nobody_called_a_success_is_a_failure() -> None:
    child = running(RestartPolicy(backoff=(1,), restart_on_success=False))
    child.exited(FIRST, now=0)
    assert child.state is BACKOFF
