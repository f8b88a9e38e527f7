"""Any history of one thread, heard in order, with gaps: what we say of it is never stuck."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from agentbridged.machines.turns import Turns
from agentbridged.wire.codex import Item, Thread, ThreadStatus, Turn

APPROVAL = ["waitingOnApproval"]


class OneThread(RuleBasedStateMachine):
    """
    The model: the thread's turns as Codex has them; the last one runs or does not.

    News is heard in order, and what is under way when the connection breaks is never heard.
    """

    @initialize()
    def begin(self) -> None:
        self.turns = Turns()
        self.truth: list[Turn] = []
        self.waits = False
        self.news: list[Callable[[], None]] = []
        self.lost_since_read = False
        self.swallowed: set[str] = set()

    @property
    def running(self) -> Turn | None:
        newest = self.truth[-1] if self.truth else None
        return newest if newest and not newest.ended else None

    def status(self) -> ThreadStatus:
        flags = APPROVAL if self.waits else []
        return ThreadStatus("active", flags) if self.running else ThreadStatus("idle")

    def tells_its_status(self) -> None:
        status = self.status()
        self.news.append(lambda: self.turns.report(status, now=0))

    @precondition(lambda self: not self.running)
    @rule()
    def a_turn_starts(self) -> None:
        turn = Turn(f"t{len(self.truth)}")
        self.truth.append(turn)
        self.tells_its_status()
        self.news.append(lambda: self.turns.started(turn.id))

    @precondition(lambda self: self.running)
    @rule()
    def it_shows_an_item(self) -> None:
        turn = self.truth[-1]
        self.truth[-1] = Turn(turn.id, items=[*turn.items, Item("agentMessage", "i")])
        self.news.append(lambda: self.turns.showed(turn.id))

    @precondition(lambda self: self.running)
    @rule(waits=st.booleans())
    def it_waits_for_a_person(self, waits: bool) -> None:
        self.waits = waits
        self.tells_its_status()

    @precondition(lambda self: self.running)
    @rule(status=st.sampled_from(["completed", "interrupted", "failed"]))
    def it_ends(self, status: str) -> None:
        turn = Turn(self.truth[-1].id, status, self.truth[-1].items)
        self.truth[-1] = turn
        self.waits = False
        if status == "interrupted" and not turn.items:
            self.swallowed.add(turn.id)
        self.tells_its_status()
        self.news.append(lambda: self.turns.ended(turn))

    @rule(many=st.integers(1, 4))
    def news_arrives(self, many: int) -> None:
        heard, self.news = self.news[:many], self.news[many:]
        for tell in heard:
            tell()

    @rule()
    def news_is_lost(self) -> None:
        self.news.clear()
        self.lost_since_read = True

    @rule()
    def it_is_read_afresh(self) -> None:
        """What was under way came before the answer: they share a connection."""
        self.news_arrives(len(self.news))
        thread = Thread("th", status=self.status())
        self.turns.learned(thread, self.truth[-1] if self.truth else None, now=0)
        self.lost_since_read = False
        self.is_true()

    @precondition(lambda self: not self.lost_since_read)
    @rule()
    def all_is_heard(self) -> None:
        self.news_arrives(len(self.news))
        if self.truth:
            self.is_true()

    def is_true(self) -> None:
        newest = self.truth[-1] if self.truth else None
        assert self.turns.active == bool(self.running)
        assert self.turns.turn_id == (self.running.id if self.running else None)
        assert bool(self.turns.waiting) == self.waits
        if self.running:
            assert self.turns.opened == bool(self.running.items)
        elif newest:
            assert self.turns.interrupted == (newest.status == "interrupted")
            assert newest.id not in self.swallowed or self.turns.swallowed == newest.id


TestOneThread = OneThread.TestCase
