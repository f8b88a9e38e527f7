"""A soak of seconds, so that the long one cannot rot; and what its ledger says of each message."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.soak.books import Books, Mail
from tests.soak.gauge import Sample, trend
from tests.soak.ledger import (
    AGAIN,
    DELIVERED,
    DOUBLED,
    FAILED,
    HISTORY,
    LOST,
    REFUSED,
    UNEXPLAINED,
    UNFINISHED,
    Ledger,
    Recovery,
    verdict,
)
from tests.soak.run import Plan, soak


def sent(**facts: object) -> Mail:
    mail = Mail("nonce-000001", "/p", "to_codex", "tool", "nonce-000001", told="accepted")
    return _with(mail, facts)


def said(via: str = "final", **facts: object) -> Mail:
    mail = Mail("nonce-000002", "/p", "to_claude", via, "nonce-000002", said=True)
    return _with(mail, facts)


def _with(mail: Mail, facts: dict[str, object]) -> Mail:
    for name, value in facts.items():
        setattr(mail, name, value)
    return mail


@pytest.mark.parametrize(
    ("mail", "expected"),
    [
        (sent(seen={"t": 1}), DELIVERED),
        (sent(), LOST),
        (sent(seen={"t": 2}), DOUBLED),
        (sent(seen={"t": 1, "u": 1}), DOUBLED),
        (sent(told="refused"), REFUSED),
        (sent(told="refused", seen={"t": 1}), UNEXPLAINED),
        (sent(told="unknown", seen={"t": 1}), UNEXPLAINED),
        (sent(told=""), UNEXPLAINED),
        (said(seen={"s": 1}, transcribed={"s": 1}), DELIVERED),
        (said(transcribed={"s": 1}), DELIVERED),
        (said(transcribed={"s": 2}), DOUBLED),
        (said(seen={"s": 2}), DOUBLED),
        (said(seen={"s": 1, "r": 1}), DOUBLED),
        (said(), LOST),
        (said(said=False), UNFINISHED),
        (said(via="last", ended="completed"), LOST),
        (said(via="last", ended="interrupted"), HISTORY),
        (said(via="aside"), HISTORY),
        (said(via="aside", seen={"s": 1}), UNEXPLAINED),
    ],
)
def test_the_ledger_judges_each_message_by_what_was_seen_and_told(
    mail: Mail, expected: str
) -> None:
    assert verdict(mail) == expected


def test_what_the_product_gave_up_on_is_not_lost() -> None:
    assert verdict(sent(), failed={"nonce-000001"}) == FAILED


def test_a_repeat_is_forgiven_only_where_nothing_could_prove_the_first_and_it_says_so() -> None:
    def again(**facts: object) -> Mail:
        return _with(said(seen={"s": 1, "r": 1}, marked={"r"}), facts)

    assert verdict(again(transcribed={"r": 1}), ended={"s"}) == AGAIN
    assert verdict(again(), ended=()) == DOUBLED
    assert verdict(again(transcribed={"s": 1}), ended={"s"}) == DOUBLED
    assert verdict(said(seen={"s": 1, "r": 1}), ended={"s"}) == DOUBLED
    assert verdict(said(seen={"s": 1, "r": 2}, marked={"r"}), ended={"s"}) == DOUBLED


def ledger_of(
    *mail: Mail, failed: int = 0, strays: int = 0, faults: int = 0, seconds: float = 0
) -> Ledger:
    seen = Counter({"x": strays} if strays else {})
    recoveries = [Recovery("line: cut", 0.1)] * faults
    gave_up = {m.nonce for m in mail[:failed]}
    return Ledger(list(mail), gave_up, set(), seen, recoveries, [], [], seconds)


def test_a_run_passes_only_when_all_is_accounted_for() -> None:
    assert ledger_of(sent(seen={"t": 1}), said(said=False)).passed
    for bad in (sent(), sent(seen={"t": 2}), sent(told="")):
        assert not ledger_of(sent(seen={"t": 1}), bad).passed
    assert not ledger_of(sent(seen={"t": 1}), strays=1).passed
    assert not ledger_of(sent(), failed=1).passed


@pytest.mark.parametrize(
    ("delivered", "refused", "faults", "seconds", "objections"),
    [
        (5000, 0, 200, 600, []),
        (4999, 0, 200, 600, ["4999 messages delivered, in 600 s at least 5000"]),
        (4999, 5000, 200, 600, ["4999 messages delivered, in 600 s at least 5000"]),
        (5000, 0, 199, 600, ["199 faults, in 600 s at least 200"]),
        (750, 0, 30, 90, []),
        (749, 0, 30, 90, ["749 messages delivered, in 90 s at least 750"]),
        (750, 0, 29, 90, ["29 faults, in 90 s at least 30"]),
    ],
)
def test_a_run_in_which_little_happened_proves_nothing_and_says_so(
    delivered: int, refused: int, faults: int, seconds: float, objections: list[str]
) -> None:
    mail = [sent(seen={"t": 1})] * delivered + [sent(told="refused")] * refused
    ledger = ledger_of(*mail, faults=faults, seconds=seconds)
    assert list(ledger.objections()) == objections
    *_, last = ledger.lines()
    assert last == ("NOT PASSED: " + objections[0] if objections else "PASSED")


def test_a_run_in_which_nothing_happened_or_all_was_given_up_has_not_passed() -> None:
    *_, nothing = ledger_of(seconds=600).lines()
    assert nothing.startswith("NOT PASSED: 0 messages delivered")
    given_up = ledger_of(*[sent()] * 5000, failed=5000, faults=200, seconds=600)
    assert "5000 failed, with a reason" in given_up.objections()


def test_a_call_that_was_not_answered_is_made_again_and_its_last_word_holds() -> None:
    books = Books(1)
    mail = books.write("/p", "to_codex", "tool")
    books.calling(mail)
    books.hung_up("/p")
    (again,) = books.take_again("/p", 5)
    books.calling(again)
    books.answered(mail.nonce, "unknown", "the line broke")
    assert books.take_again("/p", 5) == [mail]
    books.calling(mail)
    books.answered(mail.nonce, "accepted", "ab-1")
    assert (mail.told, mail.tries, books.owed("/p")) == ("accepted", 3, 0)


def test_growth_is_seen_between_the_ends_of_a_life() -> None:
    steady = [Sample(t, "daemon", 1, 40.0 + t % 2, 20) for t in range(30)]
    growing = [Sample(t, "daemon", 1, 40.0 + t, 20) for t in range(30)]
    leaking = [Sample(t, "daemon", 1, 40.0, 20 + t) for t in range(30)]
    flat = [one.flat for one in map(trend, (steady, growing, leaking)) if one]
    assert flat == [True, False, False]


@pytest.mark.end_to_end
@pytest.mark.timeout(300)
def test_a_soak_of_seconds_loses_and_doubles_nothing() -> None:
    log: list[str] = []
    ledger = soak(Plan(seconds=6, seed=7, fault_pause=0.2, person_pause=0.2), log.append)
    told = "\n".join([*log, *ledger.lines()])
    assert ledger.passed, told
    assert len(ledger.verdicts()[DELIVERED]) > 20, told
    assert len(ledger.recoveries) > 2, told
