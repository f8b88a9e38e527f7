from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbridged.machines.binding import Binding


def test_nothing_is_bound_at_first_but_the_last_thread() -> None:
    assert Binding().thread is None
    assert Binding("old").thread == "old"
    assert not Binding("old").live


def test_the_newest_opened_thread_is_bound() -> None:
    binding = Binding()
    binding.opened("a")
    binding.opened("b")
    assert binding.thread == "b"
    binding.opened("a")
    assert binding.thread == "a"


def test_what_a_tui_behind_the_proxy_shows_comes_first() -> None:
    binding = Binding()
    binding.shows(1, "shown")
    binding.opened("other")
    assert (binding.thread, binding.shown_by_tui) == ("shown", True)


@pytest.mark.requirement("C5")
def test_the_latest_switch_of_any_tui_wins() -> None:
    binding = Binding()
    binding.shows(1, "a")
    binding.shows(2, "b")
    assert binding.thread == "b"
    binding.shows(1, "c")
    assert binding.thread == "c"
    binding.left(1)
    assert binding.thread == "b"


def test_the_thread_stays_when_its_tui_leaves() -> None:
    binding = Binding()
    binding.shows(1, "a")
    binding.left(1)
    assert (binding.thread, binding.live) == ("a", False)


def test_a_tui_that_leaves_does_not_move_the_bridge_to_a_thread_nobody_turned_to() -> None:
    binding = Binding()
    binding.opened("a")
    binding.opened("b")
    binding.shows(1, "a")
    binding.left(1)
    assert binding.thread == "a"
    binding.opened("c")
    assert binding.thread == "c"


def test_a_closed_thread_gives_way_to_an_open_one() -> None:
    binding = Binding()
    binding.opened("a")
    binding.opened("b")
    binding.closed("b")
    assert binding.thread == "a"
    binding.closed("a")
    assert (binding.thread, binding.live) == ("a", False)


def test_a_lost_app_server_leaves_the_last_thread_to_be_resumed() -> None:
    binding = Binding()
    binding.opened("a")
    binding.lost()
    assert (binding.thread, binding.live) == ("a", False)


def test_a_thread_that_does_not_exist_any_more_is_no_candidate() -> None:
    binding = Binding("a")
    binding.shows(1, "a")
    binding.opened("a")
    binding.forget("a")
    assert binding.thread is None


def test_what_was_open_before_we_came_ranks_below_what_was_opened_since() -> None:
    binding = Binding("t0")
    binding.opened("t9")
    binding.found(["t1", "t2", "t9"])
    assert binding.thread == "t9"
    binding.closed("t9")
    assert binding.thread == "t2"


@pytest.mark.parametrize("back", list(permutations("abc")))
def test_who_comes_back_after_the_app_server_was_lost_outranks_nobody(back: str) -> None:
    binding = Binding()
    for thread_id in "acb":
        binding.opened(thread_id)
    binding.lost()
    binding.lost()  # it came up for a moment
    for thread_id in back:
        binding.reopened(thread_id)
    ranked = []
    for _ in back:
        ranked.append(binding.thread)
        binding.closed(str(binding.thread))
    assert ranked == ["b", "c", "a"]


@pytest.mark.parametrize("found", list(permutations("ab")))
def test_what_is_found_again_by_another_age_is_ranked_as_before(found: str) -> None:
    binding = Binding()
    binding.opened("a")
    binding.opened("b")
    binding.lost()
    binding.found(found)
    assert binding.thread == "b"


def test_what_is_new_outranks_who_comes_back() -> None:
    binding = Binding()
    binding.opened("a")
    binding.opened("b")
    binding.lost()
    binding.reopened("b")
    binding.reopened("new")
    binding.reopened("a")
    assert binding.thread == "new"


def test_once_all_are_back_a_thread_that_is_opened_again_wins() -> None:
    binding = Binding()
    binding.opened("a")
    binding.opened("b")
    binding.lost()
    binding.reopened("b")
    binding.reopened("a")
    assert binding.thread == "b"
    binding.reopened("a")
    assert binding.thread == "a"


def test_what_does_not_come_back_is_forgotten_by_the_next_that_is_opened() -> None:
    binding = Binding()
    binding.opened("a")
    binding.opened("b")
    binding.lost()
    binding.reopened("b")
    binding.opened("c")
    binding.closed("c")
    binding.reopened("a")
    assert binding.thread == "a"


def test_what_a_tui_that_left_had_turned_to_is_ranked_first_when_all_is_back() -> None:
    binding = Binding()
    binding.opened("a")
    binding.opened("b")
    binding.shows(1, "a")
    binding.lost()
    binding.left(1)
    binding.reopened("a")
    binding.reopened("b")
    assert binding.thread == "a"


def test_who_comes_back_below_a_later_switch_does_not_decide() -> None:
    binding = Binding()
    binding.shows(2, "b")
    binding.shows(1, "a", below=[2])
    assert binding.thread == "b"
    binding.shows(1, "a")
    assert binding.thread == "a"


@given(st.lists(st.sampled_from("abcd")), st.data())
def test_a_lost_app_server_moves_no_bridge(opened: list[str], data: st.DataObject) -> None:
    binding = Binding()
    for thread_id in opened:
        binding.opened(thread_id)
    before = binding.thread
    binding.lost()
    back = data.draw(st.permutations(sorted(set(opened))))
    found = data.draw(st.integers(0, len(back)))
    for thread_id in back[found:]:
        binding.reopened(thread_id)
    binding.found(back[:found])
    assert binding.thread == before
