import pytest

from agentbridged.errors import Refused
from agentbridged.machines.approvals import (
    ANSWERED,
    IN_CODEX,
    ORPHANED,
    PENDING,
    RESOLVED,
    TRANSITIONS,
    Approval,
    ApprovalLedger,
    Command,
    Keep,
    Question,
    SendAnswer,
    Tell,
)
from agentbridged.wire.jsonrpc import Id

ACCEPT = {"decision": "accept"}
DECLINE = {"decision": "decline"}


def question(request_id: Id = 0, *, server: str = "s1", thread: str = "th") -> Question:
    return Question(server, request_id, thread, "item/commandExecution/requestApproval")


def asked(*questions: Question) -> ApprovalLedger:
    ledger = ApprovalLedger()
    ledger.connected("s1")
    for number, each in enumerate(questions):
        ledger.asked(f"ap-{number}", each)
    return ledger


def states(commands: list[Command]) -> list[tuple[str, object]]:
    return [(c.approval.id, c.approval.state) for c in commands if isinstance(c, Keep)]


def sent(commands: list[Command]) -> list[SendAnswer]:
    return [c for c in commands if isinstance(c, SendAnswer)]


@pytest.mark.requirement("A7")
def test_a_new_question_is_kept_first_and_told_then() -> None:
    ledger = ApprovalLedger()
    ledger.connected("s1")
    assert ledger.asked("ap", question()) == [Keep(Approval("ap", question())), Tell("ap")]


@pytest.mark.requirement("A7")
def test_a_question_asked_again_is_no_news() -> None:
    ledger = asked(question())
    assert ledger.asked("other", question()) == []


@pytest.mark.requirement("A6")
def test_ids_of_two_json_types_are_two_questions() -> None:
    ledger = asked(question(6))
    assert states(ledger.asked("ap-s", question("6"))) == [("ap-s", PENDING)]
    assert states(ledger.resolved("th", "6", now=5)) == [("ap-s", RESOLVED)]
    assert ledger.known(question(6)) is not None


@pytest.mark.requirement("A6")
def test_an_answer_is_kept_and_sent_with_the_ids_own_type() -> None:
    ledger = asked(question("6"))
    commands = ledger.answer("ap-0", ACCEPT, by="anna", now=7)
    assert states(commands) == [("ap-0", ANSWERED)]
    assert sent(commands) == [SendAnswer("ap-0", "6", ACCEPT)]
    (kept,) = [c.approval for c in commands if isinstance(c, Keep)]
    assert (kept.answered_by, kept.answered_at, kept.result) == ("anna", 7, ACCEPT)


@pytest.mark.requirement("A8")
def test_a_second_answer_is_refused_and_names_the_first() -> None:
    ledger = asked(question())
    ledger.answer("ap-0", ACCEPT, by="anna", now=0)
    with pytest.raises(Refused, match="anna") as caught:
        ledger.answer("ap-0", DECLINE, by="ben", now=1)
    assert caught.value.kind == "answered"


@pytest.mark.requirement("A8")
def test_an_answer_in_the_tui_settles_it_and_a_later_one_is_refused() -> None:
    ledger = asked(question())
    assert states(ledger.resolved("th", 0, now=5)) == [("ap-0", RESOLVED)]
    with pytest.raises(Refused, match="not open"):
        ledger.answer("ap-0", ACCEPT, by="anna", now=1)


@pytest.mark.parametrize(("thread", "request_id"), [("other", 0), ("th", 1), ("th", "0")])
def test_what_is_settled_elsewhere_settles_nothing_here(thread: str, request_id: Id) -> None:
    ledger = asked(question())
    assert ledger.resolved(thread, request_id, now=5) == []
    assert ledger.known(question()) is not None


@pytest.mark.requirement("A4")
def test_an_answer_given_while_the_connection_is_down_is_sent_when_it_is_asked_again() -> None:
    ledger = asked(question())
    ledger.disconnected()
    assert sent(ledger.answer("ap-0", ACCEPT, by="anna", now=0)) == []
    assert ledger.connected("s1") == []
    assert ledger.asked("ap-x", question()) == [SendAnswer("ap-0", 0, ACCEPT)]
    assert states(ledger.resolved("th", 0, now=5)) == [("ap-0", RESOLVED)]


@pytest.mark.requirement("A4")
def test_an_answer_is_sent_again_only_if_it_is_asked_again() -> None:
    ledger = asked(question())
    ledger.answer("ap-0", ACCEPT, by="anna", now=0)
    ledger.disconnected()
    ledger.connected("s1")
    assert states(ledger.caught_up("th")) == [("ap-0", RESOLVED)]


@pytest.mark.requirement("A8")
def test_an_answer_that_was_never_sent_gives_way_to_the_one_given_in_codex() -> None:
    ledger = asked(question())
    ledger.disconnected()
    ledger.answer("ap-0", DECLINE, by="anna", now=0)
    ledger.connected("s1")
    (kept,) = [c.approval for c in ledger.caught_up("th") if isinstance(c, Keep)]
    assert (kept.state, kept.answered_by, kept.result) == (RESOLVED, IN_CODEX, None)


@pytest.mark.requirement("A8")
def test_an_answer_in_codex_is_kept_as_such_with_its_time() -> None:
    (kept,) = asked(question()).resolved("th", 0, now=5)
    assert isinstance(kept, Keep)
    assert (kept.approval.answered_by, kept.approval.answered_at) == (IN_CODEX, 5)


@pytest.mark.requirement("A5")
def test_an_app_server_that_is_known_to_have_ended_orphans_at_once() -> None:
    ledger = asked(question(0))
    ledger.disconnected()
    assert states(ledger.ended("s0")) == []
    assert states(ledger.ended("s1")) == [("ap-0", ORPHANED)]


@pytest.mark.requirement("A3")
def test_no_time_that_passes_settles_anything() -> None:
    ledger = asked(question())
    assert not [name for name in vars(ApprovalLedger) if "expire" in name or "deadline" in name]
    commands = ledger.answer("ap-0", ACCEPT, by="anna", now=365 * 86_400.0)
    assert sent(commands) == [SendAnswer("ap-0", 0, ACCEPT)]


@pytest.mark.requirement("A4")
def test_what_a_resumed_thread_does_not_ask_again_was_settled_meanwhile() -> None:
    ledger = asked(question(0), question(1), question(2, thread="other"))
    ledger.disconnected()
    ledger.connected("s1")
    ledger.asked("ap-x", question(1))
    assert states(ledger.caught_up("th")) == [("ap-0", RESOLVED)]
    assert ledger.known(question(1)) is not None
    assert ledger.known(question(2, thread="other")) is not None


@pytest.mark.requirement("A5")
def test_the_end_of_the_app_server_orphans_what_it_asked() -> None:
    ledger = asked(question(0), question(1))
    ledger.answer("ap-1", ACCEPT, by="anna", now=0)
    assert states(ledger.connected("s2")) == [("ap-0", ORPHANED), ("ap-1", ORPHANED)]
    with pytest.raises(Refused, match="not open"):
        ledger.answer("ap-0", ACCEPT, by="anna", now=1)


@pytest.mark.requirement("A5")
def test_a_late_answer_never_reaches_another_request_with_the_same_id() -> None:
    ledger = asked(question(0))
    ledger.connected("s2")
    assert states(ledger.asked("ap-n", question(0, server="s2"))) == [("ap-n", PENDING)]
    with pytest.raises(Refused):
        ledger.answer("ap-0", ACCEPT, by="anna", now=1)
    assert ledger.known(question(0, server="s2")) == Approval("ap-n", question(0, server="s2"))


@pytest.mark.requirement("A5")
def test_late_news_of_an_older_app_server_change_nothing() -> None:
    ledger = asked(question(0))
    ledger.connected("s2")
    assert ledger.asked("ap-x", question(5, server="s1")) == []
    assert ledger.resolved("th", 0, now=5) == []


def test_what_was_open_before_a_restart_is_open_still_for_the_same_app_server() -> None:
    ledger = ApprovalLedger()
    ledger.restore(Approval("ap-0", question()))
    ledger.restore(Approval("ap-1", question(1), ANSWERED, ACCEPT, "anna", 1.0))
    ledger.connected("s1")
    assert ledger.asked("ap-x", question()) == []
    assert ledger.asked("ap-y", question(1)) == [SendAnswer("ap-1", 1, ACCEPT)]


@pytest.mark.requirement("A4")
def test_an_answer_before_the_thread_was_resumed_waits_for_the_question() -> None:
    ledger = ApprovalLedger()
    ledger.restore(Approval("ap-0", question()))
    ledger.connected("s1")
    assert sent(ledger.answer("ap-0", ACCEPT, by="anna", now=0)) == []
    assert sent(ledger.asked("ap-x", question())) == [SendAnswer("ap-0", 0, ACCEPT)]


def test_a_kept_answer_that_was_sent_at_last_is_the_persons() -> None:
    ledger = asked(question())
    ledger.disconnected()
    ledger.answer("ap-0", ACCEPT, by="anna", now=1)
    ledger.connected("s1")
    ledger.asked("ap-x", question())
    (kept,) = [c.approval for c in ledger.resolved("th", 0, now=2) if isinstance(c, Keep)]
    assert (kept.answered_by, kept.result) == ("anna", ACCEPT)


def test_what_is_settled_is_refused_in_a_word_for_programs() -> None:
    with pytest.raises(Refused) as caught:
        asked().answer("ap-9", ACCEPT, by="anna", now=0)
    assert caught.value.kind == "settled"


@pytest.mark.parametrize("state", [RESOLVED, ORPHANED])
def test_what_is_settled_stays_settled(state: object) -> None:
    assert all(not to for frm, to in TRANSITIONS.items() if frm is state)
