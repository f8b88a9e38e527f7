import json

import pytest

from agentbridged.proxy.tap import SMALL, Tap
from tests.proxy.scene import MASK, answers, asks, fails, frame


class Seen:
    """A tap and what it said."""

    def __init__(self) -> None:
        self.threads: list[str] = []
        self.faults: list[str] = []
        self.tap = Tap(self.threads.append, self.faults.append)

    def asks(self, method: str, id: int | str, **params: object) -> None:
        self.tap.from_tui(asks(method, id, **params))

    def answers(self, id: int | str, thread: str, **more: object) -> None:
        self.tap.from_server(answers(id, thread, **more))


@pytest.mark.parametrize("method", ["thread/start", "thread/resume", "thread/fork"])
@pytest.mark.parametrize("id", [7, "startup-thread-start-x"])
def test_the_answer_to_a_switch_says_what_is_shown(method: str, id: int | str) -> None:
    seen = Seen()
    seen.asks(method, id, ephemeral=False)
    assert seen.threads == []
    seen.answers(id, "t1", ephemeral=False)
    assert seen.threads == ["t1"]


@pytest.mark.parametrize("method", ["thread/read", "thread/list", "thread/unsubscribe", "x"])
def test_other_requests_are_no_switch(method: str) -> None:
    seen = Seen()
    seen.asks(method, 1)
    seen.answers(1, "t1")
    assert seen.threads == []


@pytest.mark.requirement("C5")
def test_the_latest_issued_switch_wins_over_late_answers_of_older_ones() -> None:
    seen = Seen()
    seen.asks("thread/resume", 1)
    seen.asks("thread/start", 2)
    seen.answers(1, "old")
    assert seen.threads == []
    seen.answers(2, "new")
    seen.answers(1, "old")
    assert seen.threads == ["new"]


@pytest.mark.requirement("C5")
def test_an_answer_that_comes_late_after_the_newest_changes_nothing() -> None:
    seen = Seen()
    seen.asks("thread/resume", 1)
    seen.asks("thread/start", 2)
    seen.answers(2, "new")
    seen.answers(1, "old")
    assert seen.threads == ["new"]


@pytest.mark.requirement("C5")
def test_a_switch_that_fails_leaves_what_is_shown() -> None:
    seen = Seen()
    seen.asks("thread/start", 1)
    seen.answers(1, "t1")
    seen.asks("thread/resume", 2)
    seen.tap.from_server(fails(2))
    seen.answers(2, "never")
    assert seen.threads == ["t1"]


def test_a_hidden_helper_thread_is_no_switch_and_does_not_hide_one() -> None:
    seen = Seen()
    seen.asks("thread/start", 7)
    seen.asks("thread/start", "temporary-1", ephemeral=True, threadSource="thread_title")
    seen.answers("temporary-1", "hidden", ephemeral=True)
    seen.answers(7, "t1")
    assert seen.threads == ["t1"]


@pytest.mark.requirement("A6")
def test_ids_keep_their_type() -> None:
    seen = Seen()
    seen.asks("thread/start", "6")
    seen.answers(6, "wrong")
    seen.answers("6", "right")
    assert seen.threads == ["right"]


@pytest.mark.requirement("A6")
def test_a_server_request_that_wears_the_same_id_is_no_answer() -> None:
    seen = Seen()
    seen.asks("thread/start", 0)
    request = {"method": "x", "id": 0, "result": {"thread": {"id": "no"}}}
    seen.tap.from_server(frame(json.dumps(request).encode()))
    seen.answers(0, "t1")
    assert seen.threads == ["t1"]


@pytest.mark.requirement("C5")
def test_showing_the_same_thread_again_is_no_news() -> None:
    seen = Seen()
    for id in (1, 2):
        seen.asks("thread/resume", id)
        seen.answers(id, "t1")
    assert seen.threads == ["t1"]


def test_the_thread_is_found_at_the_start_of_a_huge_answer() -> None:
    seen = Seen()
    seen.asks("thread/resume", 3)
    seen.answers(3, "t1", turns=["x" * 2_000_000])
    assert seen.threads == ["t1"]


def test_a_huge_answer_to_something_else_is_not_mistaken() -> None:
    seen = Seen()
    seen.asks("thread/resume", 3)
    seen.answers(4, "other", turns=["x" * SMALL])
    seen.answers(3, "t1")
    assert seen.threads == ["t1"]


def test_a_huge_request_is_recognised_and_so_is_a_huge_ephemeral_one() -> None:
    seen = Seen()
    seen.asks("thread/start", 1, ephemeral=True, baseInstructions="x" * SMALL)
    seen.answers(1, "hidden")
    seen.asks("thread/start", 2, baseInstructions="x" * SMALL, ephemeral=True)
    seen.answers(2, "hidden too", ephemeral=True)
    seen.asks("thread/start", 3, baseInstructions="x" * SMALL)
    seen.answers(3, "t1")
    assert seen.threads == ["t1"]


def test_text_that_speaks_of_threads_is_no_request() -> None:
    seen = Seen()
    for text in (b'say "thread/start"', b'["thread/start"]', b'{"method": ["thread/start"]}'):
        seen.tap.from_tui(frame(text, mask=MASK))
    seen.asks("turn/start", 1, input='{"method":"thread/start"}')
    seen.answers(1, "t1")
    assert seen.threads == []


def test_an_answer_without_a_thread_ends_the_waiting() -> None:
    seen = Seen()
    seen.asks("thread/start", 1)
    for text in (b"not json", b'{"id": 1, "result": ["odd"]}'):
        seen.tap.from_server(frame(text))
    seen.answers(1, "t1")
    assert seen.threads == []


def test_a_broken_stream_is_told_once_and_then_nothing_more() -> None:
    seen = Seen()
    seen.tap.from_tui(b"\xff\xff")
    seen.tap.from_server(b"\xff\xff")
    seen.asks("thread/start", 1)
    seen.answers(1, "t1")
    assert (seen.threads, seen.faults) == ([], ["a reserved bit is set"])
