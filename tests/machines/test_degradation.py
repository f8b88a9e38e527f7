import pytest

from agentbridged.machines.degradation import INSTEAD, OTHERWISE, Degradations, Lack, mismatch

ADD = "thread/queue/add"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-32601, "Method not found"),
        (-32600, f"Invalid request: unknown variant `{ADD}`, expected one of `initialize`"),
        (-32600, f"{ADD} requires experimentalApi capability"),
        (-32600, "Invalid request: missing field `clientUserMessageId`"),
        (-32602, "Invalid params: no such member"),
    ],
)
def test_an_answer_that_says_the_method_is_another_one_is_known_as_such(
    code: int, words: str
) -> None:
    assert mismatch(ADD, code, words)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-32601, "list_turns is not supported yet"),
        (-32600, "no active turn to steer"),
        (-32600, "thread not found: t"),
        (-32602, "input_too_large"),
        (-32001, "Server overloaded; retry later."),
        (-32600, "a message that quotes: Invalid request: missing field"),
    ],
)
def test_any_other_refusal_is_no_lack_of_the_method(code: int, words: str) -> None:
    assert not mismatch(ADD, code, words)


def test_a_lack_is_news_once_and_kept_with_what_is_done_instead() -> None:
    found = Degradations()
    lack = found.missing(ADD, "unknown variant", now=7.0)
    assert lack == Lack(ADD, "unknown variant", INSTEAD[ADD], 7.0)
    assert found.missing(ADD, "unknown variant again", now=8.0) is None
    assert found.all() == [lack]
    assert found.lacks(ADD)


def test_what_was_only_misread_may_be_called_again() -> None:
    found = Degradations()
    assert found.misread("some/news", "no such member", now=1.0) is not None
    assert not found.lacks("some/news")
    assert found.all()[0].instead == OTHERWISE


def test_the_words_of_a_program_are_kept_short() -> None:
    found = Degradations()
    lack = found.missing(ADD, "x" * 10_000, now=0.0)
    assert lack is not None
    assert len(lack.problem) == 300
