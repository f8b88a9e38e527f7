"""Transcripts of the seat, and a state machine against a model of three lines."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agentbridged.machines.gate import (
    Claim,
    Close,
    Command,
    Contested,
    Held,
    Probe,
    Seat,
    SeatGate,
    SessionId,
    Sign,
    Vacant,
)
from agentbridged.wire.close import REASON_LIMIT, CloseCode

ALICE, BOB, CAROL = (Claim(SessionId(n), f"pid {n} since 10:0{n}") for n in (1, 2, 3))
HELD_BY_ALICE = "seat held by pid 1 since 10:01"


def held_by_alice() -> SeatGate:
    gate = SeatGate(probe_timeout=3)
    assert gate.arrive(ALICE, now=0) == [Seat(ALICE.session)]
    return gate


def contested_by_bob() -> SeatGate:
    gate = held_by_alice()
    assert gate.arrive(BOB, now=10) == [Probe(ALICE.session, 13)]
    return gate


def rejected(claim: Claim, reason: str = HELD_BY_ALICE) -> Close:
    return Close(claim.session, CloseCode.REJECTED, reason)


def evicted(claim: Claim, reason: str) -> Close:
    return Close(claim.session, CloseCode.EVICTED, reason)


@pytest.mark.requirement("S2")
def test_a_newcomer_is_turned_away_while_the_holder_lives() -> None:
    gate = contested_by_bob()
    assert gate.holder == ALICE.session
    assert gate.vouch(ALICE.session) == [rejected(BOB)]
    assert gate.state == Held(ALICE)


@pytest.mark.requirement("S6")
def test_a_silent_holder_loses_the_seat_at_the_deadline_and_not_before() -> None:
    gate = contested_by_bob()
    assert gate.next_deadline() == 13
    assert gate.expire(now=12.999) == []
    assert gate.expire(now=13) == [
        evicted(ALICE, "pid 1 since 10:01 did not answer for 3 s"),
        Seat(BOB.session),
    ]
    assert gate.state == Held(BOB)


@pytest.mark.parametrize("sign", [Sign.ALIVE, Sign.UNKNOWN])
def test_a_holder_whose_process_seems_to_live_is_asked(sign: Sign) -> None:
    gate = held_by_alice()
    assert gate.arrive(BOB, now=10, sign=sign) == [Probe(ALICE.session, 13)]


@pytest.mark.requirement("S6")
def test_a_dead_holder_is_not_asked() -> None:
    gate = held_by_alice()
    assert gate.arrive(BOB, now=10, sign=Sign.DEAD) == [
        evicted(ALICE, "pid 1 since 10:01: its process is gone"),
        Seat(BOB.session),
    ]
    assert gate.next_deadline() is None


@pytest.mark.requirement("S2")
def test_a_connection_that_is_closing_still_holds() -> None:
    gate = held_by_alice()
    assert gate.arrive(BOB, now=10, sign=Sign.CLOSING) == [rejected(BOB)]
    assert gate.state == Held(ALICE)


@pytest.mark.requirement("S2")
def test_a_second_newcomer_is_turned_away_while_the_first_waits() -> None:
    gate = contested_by_bob()
    assert gate.arrive(CAROL, now=11, sign=Sign.DEAD) == [rejected(CAROL)]
    assert gate.state == Contested(ALICE, BOB, deadline=13)


def test_the_waiting_newcomer_is_seated_when_the_holder_departs() -> None:
    gate = contested_by_bob()
    assert gate.depart(ALICE.session) == [Seat(BOB.session)]
    assert gate.next_deadline() is None


def test_an_impatient_newcomer_leaves_the_holder_seated() -> None:
    gate = contested_by_bob()
    assert gate.depart(BOB.session) == []
    assert gate.state == Held(ALICE)


@pytest.mark.requirement("S6")
def test_the_process_of_a_holder_that_vanished_frees_the_seat_without_a_contest() -> None:
    gate = held_by_alice()
    assert gate.vanish(ALICE.session) == [evicted(ALICE, "pid 1 since 10:01: its process is gone")]
    assert gate.state == Vacant()


def test_a_holder_that_vanishes_in_a_contest_leaves_the_seat_to_the_newcomer() -> None:
    gate = contested_by_bob()
    assert gate.vanish(ALICE.session) == [
        evicted(ALICE, "pid 1 since 10:01: its process is gone"),
        Seat(BOB.session),
    ]


def test_a_newcomer_that_vanishes_in_a_contest_is_closed_and_the_holder_stays() -> None:
    gate = contested_by_bob()
    assert gate.vanish(BOB.session) == [rejected(BOB)]
    assert gate.state == Held(ALICE)


@pytest.mark.requirement("S5")
def test_a_person_takes_the_seat_over_at_once() -> None:
    gate = held_by_alice()
    assert gate.arrive(BOB, now=10, sign=Sign.ALIVE, take_over=True) == [
        evicted(ALICE, "taken over by pid 2 since 10:02"),
        Seat(BOB.session),
    ]


def test_a_take_over_in_a_contest_answers_both() -> None:
    gate = contested_by_bob()
    assert gate.arrive(CAROL, now=11, take_over=True) == [
        evicted(ALICE, "taken over by pid 3 since 10:03"),
        rejected(BOB, "seat held by pid 3 since 10:03"),
        Seat(CAROL.session),
    ]
    assert gate.state == Held(CAROL)


def test_a_take_over_of_a_vacant_seat_is_an_arrival() -> None:
    assert SeatGate().arrive(BOB, now=0, take_over=True) == [Seat(BOB.session)]


@pytest.mark.requirement("S5")
def test_a_person_releases_the_seat() -> None:
    gate = held_by_alice()
    assert gate.release("agentbridgectl") == [evicted(ALICE, "seat released by agentbridgectl")]
    assert gate.state == Vacant()
    assert gate.release("agentbridgectl") == []


def test_a_release_in_a_contest_seats_the_newcomer() -> None:
    gate = contested_by_bob()
    assert gate.release("agentbridgectl")[1:] == [Seat(BOB.session)]


def test_a_killed_bridge_dismisses_holder_and_newcomer() -> None:
    gate = contested_by_bob()
    assert gate.dismiss(CloseCode.KILLED, "killed") == [
        Close(ALICE.session, CloseCode.KILLED, "killed"),
        Close(BOB.session, CloseCode.KILLED, "killed"),
    ]
    assert gate.state == Vacant()
    assert gate.dismiss(CloseCode.KILLED, "killed") == []


def test_a_killed_bridge_dismisses_its_holder() -> None:
    gate = held_by_alice()
    assert gate.dismiss(CloseCode.KILLED, "killed") == [
        Close(ALICE.session, CloseCode.KILLED, "killed")
    ]


def test_reasons_fit_a_close_frame() -> None:
    gate = SeatGate()
    gate.arrive(Claim(SessionId(1), "ä" * 200), now=0)
    (close,) = gate.dismiss(CloseCode.KILLED, "ö" * 200)
    assert isinstance(close, Close)
    assert len(close.reason.encode()) <= REASON_LIMIT


def test_a_strangers_departure_leaves_the_contest_standing() -> None:
    gate = contested_by_bob()
    assert gate.depart(CAROL.session) == []
    assert gate.vanish(CAROL.session) == []
    assert gate.vouch(BOB.session) == []
    assert gate.state == Contested(ALICE, BOB, deadline=13)


def test_news_of_a_session_that_is_not_ours_changes_nothing() -> None:
    gate = held_by_alice()
    assert gate.depart(BOB.session) == []
    assert gate.vanish(BOB.session) == []
    assert gate.vouch(BOB.session) == []
    assert gate.vouch(ALICE.session) == []
    assert gate.expire(now=99) == []
    assert gate.state == Held(ALICE)


def test_the_seat_is_vacant_again_after_its_holder_departs() -> None:
    gate = held_by_alice()
    assert gate.depart(ALICE.session) == []
    assert gate.state == Vacant()
    assert gate.holder is None


@pytest.mark.requirement("S1")
def test_a_rejection_names_the_holder_as_it_is_known_now() -> None:
    gate = contested_by_bob()
    gate.rename(Claim(ALICE.session, "pid 1 session new"))
    gate.rename(Claim(BOB.session, "not a holder"))
    assert gate.vouch(ALICE.session) == [rejected(BOB, "seat held by pid 1 session new")]
    gate.rename(Claim(ALICE.session, "pid 1 session newer"))
    gate.rename(Claim(CAROL.session, "a stranger"))
    assert gate.state == Held(Claim(ALICE.session, "pid 1 session newer"))


def test_a_new_name_in_a_contest_gives_the_holder_no_more_time() -> None:
    gate = contested_by_bob()
    before = gate.next_deadline()
    gate.rename(Claim(ALICE.session, "pid 1 under another name"))
    assert gate.next_deadline() == before


SIGNS = st.sampled_from(list(Sign))


class Seating(RuleBasedStateMachine):
    """
    Any history of one seat.

    The model: *seated* is the one session last seated and not since gone; *waiting* are arrivals
    without an answer; only what says *may_evict* may close the seated one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gate = SeatGate(probe_timeout=3)
        self.now = 0.0
        self.arrivals = 0
        self.seated: SessionId | None = None
        self.waiting: set[SessionId] = set()

    def obey(self, commands: list[Command], *, may_evict: bool) -> None:
        for command in commands:
            match command:
                case Seat(session):
                    assert self.seated is None, "two holders"
                    self.waiting.remove(session)
                    self.seated = session
                case Close(session) if session == self.seated:
                    assert may_evict, "a holder that lives and answers was evicted"
                    self.seated = None
                case Close(session):
                    self.waiting.remove(session)
                case Probe(session):
                    assert session == self.seated, "only the holder is asked"

    @rule(sign=SIGNS, take_over=st.booleans())
    def arrive(self, sign: Sign, take_over: bool) -> None:
        self.arrivals += 1
        claim = Claim(SessionId(self.arrivals), f"session {self.arrivals}")
        self.waiting.add(claim.session)
        commands = self.gate.arrive(claim, now=self.now, sign=sign, take_over=take_over)
        self.obey(commands, may_evict=take_over or sign is Sign.DEAD)

    @precondition(lambda self: self.waiting)
    @rule()
    def the_holder_answers(self) -> None:
        assert self.seated is not None
        self.obey(self.gate.vouch(self.seated), may_evict=False)
        assert not self.waiting, "a newcomer got no answer"

    @rule(data=st.data(), vanishes=st.booleans())
    def somebody_goes(self, data: st.DataObject, vanishes: bool) -> None:
        known = sorted({*self.waiting, *({self.seated} if self.seated else ()), SessionId(0)})
        session = data.draw(st.sampled_from(known))
        if not vanishes:
            self.waiting.discard(session)
            self.seated = None if session == self.seated else self.seated
        gone = self.gate.vanish(session) if vanishes else self.gate.depart(session)
        self.obey(gone, may_evict=vanishes)

    @rule(seconds=st.floats(0, 4))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        deadline = self.gate.next_deadline()
        silent = deadline is not None and self.now >= deadline
        self.obey(self.gate.expire(now=self.now), may_evict=silent)

    @rule()
    def a_person_releases(self) -> None:
        self.obey(self.gate.release("a person"), may_evict=True)

    @rule()
    def a_person_kills(self) -> None:
        self.obey(self.gate.dismiss(CloseCode.KILLED, "killed"), may_evict=True)
        assert self.seated is None
        assert not self.waiting

    @invariant()
    def the_gate_agrees_with_the_model(self) -> None:
        assert self.gate.holder == self.seated
        assert len(self.waiting) <= 1
        assert bool(self.waiting) == (self.gate.next_deadline() is not None)


TestSeating = Seating.TestCase
