"""The lawful moves of a message."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbridged.machines.outbox import ENDS, TRANSITIONS, UNFINISHED, State, may_move

STATES: tuple[State, ...] = get_args(State)
LINE: tuple[State, ...] = ("accepted", "written", "consumed", "answered")


def test_the_table_names_every_state() -> None:
    assert set(TRANSITIONS) == set(STATES)
    assert {to for onward in TRANSITIONS.values() for to in onward} <= set(STATES)


@pytest.mark.parametrize("frm", LINE)
@pytest.mark.parametrize("to", LINE)
def test_delivery_only_moves_forward_and_may_skip_steps(frm: State, to: State) -> None:
    assert may_move(frm, to) == (LINE.index(frm) < LINE.index(to))


@pytest.mark.parametrize("end", ["failed", "withdrawn", "history"])
def test_a_message_may_be_given_up_until_it_is_proven_read(end: State) -> None:
    assert may_move("accepted", end)
    assert may_move("written", end)
    assert not may_move("consumed", end)
    assert not may_move("answered", end)


@given(moves=st.lists(st.sampled_from(STATES), max_size=30))
def test_no_walk_ever_returns_to_a_state_it_left(moves: list[State]) -> None:
    state: State = "accepted"
    seen = {state}
    for to in moves:
        if may_move(state, to):
            assert to not in seen
            seen.add(to)
            state = to


def test_the_ends_and_the_unfinished_are_what_the_table_says() -> None:
    assert {"answered", "failed", "withdrawn", "history"} == ENDS
    assert UNFINISHED.isdisjoint(ENDS)
