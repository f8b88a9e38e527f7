"""Why there is no seat, and when it is sought again."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentbridged.machines.recovery import (
    GRACE,
    LONGEST_DELAY,
    NOTICE_INTERVAL,
    POLL_INTERVAL,
    RULES,
    TRANSITIONS,
    Asked,
    CheckDaemon,
    Connect,
    Dormant,
    News,
    Notices,
    Phase,
    Polling,
    Reason,
    Recovery,
    Rest,
    Retry,
    Seated,
    Waiting,
    explain,
    reason_of,
)
from agentbridged.wire.close import CloseCode

GONE = News("disconnected", "gone")
BACK = News("connected", "back")


def trying() -> Recovery:
    recovery = Recovery(jitter=lambda: 0.0)
    assert recovery.next(now=0) == Connect(take_over=False)
    return recovery


def due(recovery: Recovery) -> float:
    assert isinstance(recovery.phase, Waiting)
    return recovery.phase.until


def seated() -> Recovery:
    recovery = trying()
    recovery.seated(now=0)
    return recovery


def test_a_new_session_connects_at_once_and_rests_while_seated() -> None:
    recovery = seated()
    assert recovery.next(now=1e9) == Rest(None)
    assert recovery.is_seated
    assert not recovery.is_final


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (CloseCode.REJECTED, Reason.REJECTED),
        (CloseCode.EVICTED, Reason.EVICTED),
        (CloseCode.KILLED, Reason.KILLED),
        (CloseCode.CONTRACT, Reason.VERSION),
        (CloseCode.NOT_ATTACHED, Reason.DISCONNECTED),
        (1006, Reason.DISCONNECTED),
        (None, Reason.DISCONNECTED),
    ],
)
@pytest.mark.requirement("S3")
def test_only_four_close_codes_are_a_verdict(code: int | None, reason: Reason) -> None:
    assert reason_of(code) is reason


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.requirement("S8")
def test_every_reason_has_words_a_remedy_and_a_rule(reason: Reason) -> None:
    text = explain(reason, "Since 10:03.")
    assert text.startswith(f"{reason.value}: Since 10:03. ")
    assert text.endswith(RULES[reason].remedy)
    assert RULES[reason].default in explain(reason)


def test_a_reason_the_daemon_already_named_is_not_named_twice() -> None:
    text = explain(Reason.KILLED, "killed by ada at 10:03; `agentbridgectl revive` switches it on")
    assert text.startswith("killed by ada at 10:03; ")


@pytest.mark.requirement("S9")
def test_a_lost_connection_is_tried_again_ever_more_slowly_and_for_ever() -> None:
    recovery = trying()
    now, delays = 0.0, []
    for _ in range(40):
        recovery.ended(None, "", now=now)
        assert isinstance(recovery.phase, Waiting)
        delays.append(recovery.phase.until - now)
        assert recovery.next(now=recovery.phase.until - 0.001) == Rest(recovery.phase.until)
        now = recovery.phase.until
        assert recovery.next(now=now) == Connect(take_over=False)
    assert delays[:4] == pytest.approx([0.1, 0.2, 0.4, 0.8])
    assert delays[-1] == pytest.approx(LONGEST_DELAY)


@settings(deadline=None)
@given(st.floats(0, 1), st.integers(0, 50))
@pytest.mark.requirement("S9")
def test_jitter_only_ever_shortens_a_delay_and_by_a_half_at_most(
    jitter: float, failures: int
) -> None:
    recovery = Recovery(jitter=lambda: jitter)
    recovery.next(now=0)
    recovery.failures = failures
    recovery.ended(None, "", now=0)
    assert isinstance(recovery.phase, Waiting)
    full = min(LONGEST_DELAY, 0.1 * 2.0 ** min(failures, 30))
    assert full / 2 <= recovery.phase.until <= full


def test_a_seat_held_for_a_while_forgives_earlier_failures_and_a_flap_does_not() -> None:
    recovery = trying()
    recovery.failures = 5
    recovery.seated(now=0)
    recovery.ended(1006, "", now=4.9)
    assert due(recovery) == pytest.approx(5.7)
    recovery.next(now=100)
    recovery.seated(now=100)
    recovery.ended(1006, "", now=105)
    assert due(recovery) == pytest.approx(105.1)


@pytest.mark.parametrize("code", [CloseCode.REJECTED, CloseCode.EVICTED, CloseCode.CONTRACT])
@pytest.mark.requirement("S4")
def test_a_verdict_makes_it_dormant_for_good(code: CloseCode) -> None:
    recovery = seated()
    recovery.ended(code, "held by pid 7", now=1)
    assert recovery.phase == Dormant()
    assert recovery.next(now=1e9) == Rest(None)
    recovery.nudge()
    assert recovery.phase == Dormant()
    assert recovery.is_final
    assert "held by pid 7" in recovery.explain()


@pytest.mark.requirement("S5")
def test_a_person_can_ask_for_the_seat_and_take_over() -> None:
    recovery = trying()
    recovery.ended(CloseCode.REJECTED, "", now=0)
    recovery.ask(take_over=True)
    assert not recovery.is_final
    assert recovery.next(now=0) == Connect(take_over=True)
    recovery.seated(now=1)
    assert recovery.is_seated


def test_a_take_over_that_met_no_daemon_is_not_repeated_by_itself() -> None:
    recovery = trying()
    recovery.ended(CloseCode.REJECTED, "", now=0)
    recovery.ask(take_over=True)
    recovery.next(now=0)
    recovery.ended(None, "", now=1)
    assert recovery.next(now=2) == Connect(take_over=False)


@pytest.mark.requirement("S7")
def test_a_killed_bridge_is_polled_and_attached_only_while_the_daemon_lives() -> None:
    recovery = seated()
    recovery.ended(CloseCode.KILLED, "by ada at 10:03", now=0)
    assert recovery.next(now=4.9) == Rest(POLL_INTERVAL)
    assert recovery.next(now=5) == CheckDaemon()
    recovery.daemon_checked(False, now=5)
    assert recovery.next(now=9.9) == Rest(10)
    assert recovery.next(now=10) == CheckDaemon()
    recovery.daemon_checked(True, now=10)
    assert recovery.is_final
    assert recovery.next(now=10) == Connect(take_over=False)
    assert recovery.is_final
    recovery.ended(CloseCode.KILLED, "by ada at 10:03", now=11)
    assert recovery.phase == Polling(16)
    assert "by ada at 10:03" in recovery.explain()


@pytest.mark.requirement("S7")
def test_a_daemon_that_is_away_does_not_make_a_killed_bridge_merely_disconnected() -> None:
    recovery = seated()
    recovery.ended(CloseCode.KILLED, "by ada", now=0)
    recovery.daemon_checked(True, now=5)
    recovery.next(now=5)
    recovery.ended(None, "nobody listens", now=5)
    assert (recovery.reason, recovery.phase) == (Reason.KILLED, Polling(10))
    assert "by ada" in recovery.explain()


def test_a_send_hurries_a_lost_connection() -> None:
    recovery = trying()
    recovery.failures = 20
    recovery.ended(None, "", now=0)
    assert recovery.next(now=1) == Rest(30)
    recovery.nudge()
    assert recovery.next(now=1) == Connect(take_over=False)
    recovery.ended(None, "", now=1)
    assert due(recovery) == pytest.approx(1.1)


def test_news_of_a_check_that_is_overtaken_changes_nothing() -> None:
    recovery = seated()
    recovery.daemon_checked(True, now=0)
    assert recovery.phase == Seated(0)
    recovery.ask(take_over=True)
    assert recovery.phase == Seated(0)


@pytest.mark.parametrize("phase", TRANSITIONS)
def test_every_phase_has_a_way_on(phase: type[Phase]) -> None:
    assert TRANSITIONS[phase]


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.requirement("S3")
def test_only_a_lost_connection_and_a_killed_bridge_come_back_by_themselves(
    reason: Reason,
) -> None:
    recovery = seated()
    recovery.ended(RULES[reason].code, "", now=0)
    tries = recovery.next(now=1e6)
    wanted = {Retry.BACK_OFF: Connect(False), Retry.POLL: CheckDaemon(), Retry.NEVER: Rest(None)}
    assert tries == wanted[RULES[reason].retry]


def test_an_unlisted_move_is_an_error_and_changes_nothing() -> None:
    recovery = Recovery(jitter=lambda: 0.0)
    with pytest.raises(AssertionError):
        recovery.seated(now=0)
    assert isinstance(recovery.phase, Asked)
    recovery.next(now=0)
    assert type(recovery.phase) is not Asked
    recovery.seated(now=0)


def connected() -> Notices:
    notices = Notices()
    notices.heard(BACK, now=0)
    return notices


def test_having_no_seat_at_the_start_is_no_news_and_neither_is_the_first() -> None:
    notices = Notices()
    notices.heard(GONE, now=0)
    assert notices.next_deadline() is None
    notices.heard(BACK, now=1)
    assert notices.next_deadline() is None


def test_a_short_interruption_is_never_told() -> None:
    notices = connected()
    notices.heard(GONE, now=100)
    notices.heard(BACK, now=100 + GRACE - 1)
    assert notices.next_deadline() is None
    assert notices.expire(now=1e6) is None


def test_a_longer_one_is_told_after_the_grace_and_its_end_not_before_30_s_later() -> None:
    notices = connected()
    notices.heard(GONE, now=100)
    notices.heard(News("disconnected", "still gone"), now=105)
    assert notices.expire(now=100 + GRACE - 0.1) is None
    assert notices.expire(now=100 + GRACE) == News("disconnected", "still gone")
    notices.heard(BACK, now=112)
    told = 100 + GRACE
    assert notices.next_deadline() == told + NOTICE_INTERVAL
    assert notices.expire(now=told + NOTICE_INTERVAL - 0.1) is None
    assert notices.expire(now=told + NOTICE_INTERVAL) == BACK


def test_what_the_answer_to_a_call_already_said_is_no_news() -> None:
    notices = connected()
    notices.heard(News("evicted", "by pid 7"), now=100)
    notices.expire(now=100)
    notices.heard(BACK, now=110)
    notices.known("connected")
    assert notices.expire(now=1e6) is None


def test_a_verdict_is_told_at_once() -> None:
    notices = connected()
    notices.heard(News("evicted", "by pid 7"), now=100)
    assert notices.expire(now=100) == News("evicted", "by pid 7")


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.sampled_from(["connected", *Reason]))))
@pytest.mark.requirement("S9")
def test_never_two_notices_within_30_s_and_never_one_that_is_overtaken(
    happened: list[tuple[int, str | Reason]],
) -> None:
    notices, now = connected(), 0.0
    told: list[tuple[float, News]] = []
    for gap, kind in happened:
        end = now + gap
        while (due := notices.next_deadline()) is not None and due <= end:
            now = max(now, due)
            news = notices.expire(now=now)
            assert news is not None
            told.append((now, news))
        now = end
        name = kind.value if isinstance(kind, Reason) else kind
        notices.heard(News(name, f"{name} at {now}"), now=now)
    times = [at for at, _ in told]
    assert all(b - a >= NOTICE_INTERVAL for a, b in itertools.pairwise(times))
    kinds = ["connected", *(news.kind for _, news in told)]
    assert all(a != b for a, b in itertools.pairwise(kinds))


def test_a_flap_is_measured_from_its_own_beginning() -> None:
    recovery = trying()
    recovery.failures = 5
    recovery.seated(now=1000)
    recovery.ended(1006, "", now=1001)
    assert due(recovery) == pytest.approx(1001.8)


def test_a_daemon_that_is_killed_again_and_again_is_never_waited_for_long() -> None:
    recovery = trying()
    for now in range(50):
        recovery.seated(now=now)
        recovery.ended(1006, "", now=now + 0.1)
        assert due(recovery) < now + 0.95
        recovery.next(now=now + 0.95)


def test_the_longest_jitter_halves_a_delay() -> None:
    recovery = Recovery(jitter=lambda: 1.0)
    recovery.next(now=0)
    recovery.ended(None, "", now=0)
    assert due(recovery) == pytest.approx(0.05)


def test_a_person_who_asks_starts_the_back_off_anew() -> None:
    recovery = trying()
    for now in (0, 100, 200, 300):
        recovery.ended(None, "", now=now)
        recovery.next(now=now + 50)
    recovery.ended(None, "", now=400)
    recovery.ask(take_over=False)
    recovery.next(now=400)
    recovery.ended(None, "", now=400)
    assert due(recovery) == pytest.approx(400.1)
