"""
Any history of one bridge and a model of Codex: each message is there once, and none is lost.

The bridge is the real one, with its store, its ledger and its Codex side; Codex and the wire are a
model. Faults come at any moment: the daemon is killed, the connection breaks with requests read or
not, Codex is overloaded, killed, slow; a person types, stops turns, and lets them go on.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agentbridged.bridges.bridge import Bridge
from agentbridged.codex.hub import Hub
from agentbridged.config import Governor, Settings
from agentbridged.store import Store
from agentbridged.wire.claude import Send, WhenBusy
from tests.codex.model import OVERLOADED, Codex, Said, Wire
from tests.conftest import VirtualClockLoop

ROOT = "/p"
UNGOVERNED = Settings(governor=Governor(enabled=False))
"""No person ever speaks in here."""
PATIENCE = 3
"""Rounds without a change after which nothing is left to do: a retry, two looks."""
WAYS = st.sampled_from(["queue", "queue", "steer", "interrupt"])
FATES = st.sampled_from(["open", "all is well", "the answer is lost", "the daemon is killed"])
ROUNDS = 300
"""More than any calm takes: one that is not over by then never will be."""


class Loop(VirtualClockLoop):
    """Its time stands still for a whole stretch of rules, and for no more."""

    patience = 50_000


class Daemon:
    """What a ``kill -9`` takes away."""

    def __init__(self, store: Store, loop: asyncio.AbstractEventLoop) -> None:
        row = store.bridge("p-1")
        assert row is not None
        self.bridge = Bridge(row, store, lambda: UNGOVERNED, lambda event, details: None)
        self.hub = Hub(lambda root: self.bridge.codex, lambda: [self.bridge.codex])
        self.tasks = [loop.create_task(run()) for run in (self.bridge.codex.run, self.hub.run)]


class BridgeAndCodex(RuleBasedStateMachine):
    """
    The model: what Claude sent and was acknowledged, in order, each with its way.

    At the end Codex has shown each once, and the store has each answer of Codex once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.store = Store(Path(self.directory.name) / "db")
        self.loop = Loop()
        self.sent: dict[str, WhenBusy] = {}

    @initialize(has_queue=st.booleans())
    def begin(self, has_queue: bool) -> None:
        self.store.ensure_bridge("p-1", ROOT)
        self.store.mark_attached("p-1")
        self.codex = Codex(ROOT, Path(self.directory.name) / "thread", has_queue=has_queue)
        self.start()
        self.work_off()

    def start(self) -> None:
        self.daemon = Daemon(self.store, self.loop)
        self.connect()

    def connect(self) -> None:
        self.wire = Wire(self.codex)
        self.daemon.tasks.append(self.loop.create_task(self.wire.client.run()))
        self.daemon.hub.connected(self.wire.client)
        self.settle()

    def settle(self) -> None:
        """Let the daemon do all that it can do now."""

        async def turns() -> None:
            for _ in range(30):
                await asyncio.sleep(0)

        self.loop.run_until_complete(turns())
        for task in self.daemon.tasks:
            if task.done():
                task.result()

    def kill(self) -> None:
        for task in self.daemon.tasks:
            task.cancel()
        for task in self.daemon.tasks:
            with suppress(asyncio.CancelledError):
                self.loop.run_until_complete(task)

    # What people and programs do

    @rule(when_busy=WAYS, fate=FATES, read=st.integers(0, 2))
    def claude_sends(self, when_busy: WhenBusy, fate: str, read: int) -> None:
        if fate != "open":  # the send is what comes to grief, not what was under way before
            if not self.wire.is_open:
                self.connect()
            self.work_off()
        message = self.daemon.bridge.accept(
            Send(text="do it", when_busy=when_busy), sender="claude"
        )
        self.sent[message.id] = when_busy
        self.settle()
        match fate:
            case "all is well":
                self.work_off()
            case "the answer is lost":
                self.the_connection_breaks(read=1, goes_on=read)
            case "the daemon is killed":
                self.the_daemon_is_killed(read=read, goes_on=0)
            case _:
                pass

    @rule()
    def a_person_types(self) -> None:
        self.codex.begins_next()
        self.codex.opens()
        self.codex.types(Said(None, "hello"))

    @precondition(lambda self: self.codex.running)
    @rule()
    def a_person_stops_the_turn(self) -> None:
        self.codex.ends("interrupted")

    @rule(steps=st.integers(1, 4), end=st.sampled_from(["completed", "completed", "failed"]))
    def codex_goes_on(self, steps: int, end: str = "completed") -> None:
        for _ in range(steps):
            turn = self.codex.running
            if turn is None:
                self.codex.begins_next() if self.codex.leaving else self.codex.takes_next()
            elif turn.unshown:
                self.codex.shows()
            elif turn.items[-1]["type"] == "userMessage":
                self.codex.answers_with(f"answer {len(self.codex.answers)}")
            else:
                self.codex.ends(end)

    # What the wire does

    @precondition(lambda self: self.wire.requests)
    @rule(overloaded=st.booleans())
    def codex_reads_a_request(self, overloaded: bool) -> None:
        self.wire.read_request(OVERLOADED if overloaded else None)

    @precondition(lambda self: self.wire.frames)
    @rule(many=st.integers(1, 3))
    def frames_arrive(self, many: int) -> None:
        for _ in range(min(many, len(self.wire.frames))):
            self.wire.deliver()
        self.settle()

    @rule(seconds=st.sampled_from([0.0, 1.0, 10.0]))
    def all_is_worked_off(self, seconds: float) -> None:
        self.pass_time(seconds)
        self.work_off()

    # Faults

    @rule(read=st.integers(0, 2), goes_on=st.integers(0, 4))
    def the_connection_breaks(self, read: int, goes_on: int) -> None:
        if not self.wire.is_open:
            self.connect()
            return
        self.wire.cut(read=read)
        self.daemon.hub.gone()
        self.settle()
        self.codex_goes_on(goes_on)

    @rule(read=st.integers(0, 2), goes_on=st.integers(0, 4))
    def the_daemon_is_killed(self, read: int, goes_on: int) -> None:
        self.kill()
        self.wire.cut(read=read)
        self.codex_goes_on(goes_on)
        self.start()

    @rule(noting=st.booleans())
    def codex_is_killed(self, noting: bool = False) -> None:
        self.codex.dies(noting=noting)
        if self.wire.is_open:
            self.the_connection_breaks(read=0, goes_on=0)

    # What must hold

    def work_off(self) -> None:
        while self.wire.requests or self.wire.frames:
            while self.wire.requests:
                self.wire.read_request()
            while self.wire.frames:
                self.wire.deliver()
            self.settle()

    def pass_time(self, seconds: float) -> None:
        self.codex.begins_next()  # what leaves the queue is in its turn within milliseconds
        self.loop.run_until_complete(asyncio.sleep(seconds))
        self.settle()

    @invariant()
    def no_message_is_in_codex_twice(self) -> None:
        turn = self.codex.running
        taken = [*(said for _, said in self.codex.queue), *(turn.unshown if turn else [])]
        taken += [self.codex.leaving] if self.codex.leaving else []
        there = [*self.codex.noted, *(said.id for said in taken if said.id)]
        assert len(there) == len(set(there))

    def becomes_calm(self, *, person: bool) -> None:
        """
        Everything goes on without another fault until nothing is left to do.

        First Codex stands still, as in a long turn: that is when impatience would double a message.
        """
        self.stands_still()
        same = 0
        for _ in range(ROUNDS):
            if not self.wire.is_open:
                self.connect()
            before = self.picture()
            self.work_off()
            self.codex.takes_next()
            self.codex.begins_next()
            while (turn := self.codex.running) is not None:
                if turn.unshown:
                    self.codex.shows()
                else:
                    self.codex.ends("completed")
                self.work_off()
            self.pass_time(20)
            self.work_off()
            if person:
                self.codex.opens()
            if person and self.codex.paused and self.codex.queue:
                self.codex.types(Said(None, "go on"))
            same = same + 1 if self.picture() == before else 0
            if same == PATIENCE:
                return
        raise AssertionError("it never becomes calm")

    def stands_still(self) -> None:
        if not self.wire.is_open:
            self.connect()
        for _ in range(PATIENCE):
            self.pass_time(20)
            self.work_off()
        self.no_message_is_in_codex_twice()

    def picture(self) -> list[Any]:
        states = [row.state for row in self.store.history("p-1", limit=1000)]
        return [states, len(self.codex.queue), len(self.codex.turns), self.codex.noted]

    def teardown(self) -> None:
        try:
            if hasattr(self, "codex"):
                self.the_end()
        finally:
            self.kill()
            self.loop.close()
            self.store.close()
            self.directory.cleanup()

    def the_end(self) -> None:
        self.becomes_calm(person=False)
        stuck = {entry for entry, _ in self.codex.queue} & self.codex.waits_for_ever
        assert not stuck, "it was put into a paused queue, and nobody started it"
        self.becomes_calm(person=True)
        rows = {row.id: row for row in self.store.history("p-1", limit=1000)}
        failed = {id for id in self.sent if rows[id].state == "failed"}
        assert sorted(self.codex.noted) == sorted(self.sent.keys() - failed)
        for id in self.codex.never_shown:
            came = [(what.step, what.result) for what in self.store.attempts(id)]
            assert came.count(("turn", "interrupted")) == 1
        plain = [id for id, when_busy in self.sent.items() if when_busy == "queue"]
        if not self.codex.swallowed:
            assert [id for id in self.codex.noted if id in plain] == plain
        kept = [row.text for row in rows.values() if row.direction == "to_claude"]
        assert kept == self.codex.answers
        turns = self.daemon.bridge.codex.turns
        assert not turns.active
        assert turns.turn_id is None


TestBridgeAndCodex = BridgeAndCodex.TestCase
TestBridgeAndCodex.settings = settings(max_examples=settings().max_examples * 2 // 5)
"""A history of this one takes ten times as long as another's."""


# What it found


@pytest.fixture
def story() -> Iterator[BridgeAndCodex]:
    story = BridgeAndCodex()
    story.begin(has_queue=True)
    yield story
    story.teardown()


def test_a_bridge_whose_app_server_is_gone_rests(story: BridgeAndCodex) -> None:
    story.claude_sends("queue", "open", 0)
    story.wire.cut(read=1)
    story.daemon.hub.gone()
    story.pass_time(60)


def test_a_stopped_turns_loss_is_looked_into_although_the_next_turn_runs(
    story: BridgeAndCodex,
) -> None:
    story.claude_sends("queue", "all is well", 0)
    story.codex_goes_on(2)
    assert story.codex.running
    assert story.codex.running.unshown
    story.a_person_stops_the_turn()
    story.a_person_types()  # before anybody heard of the stop


def test_a_turn_that_shows_late_what_it_answers_is_waited_for_after_a_restart(
    story: BridgeAndCodex,
) -> None:
    story.claude_sends("queue", "open", 0)
    story.wire.read_request()
    story.codex_goes_on(2)
    story.the_daemon_is_killed(read=0, goes_on=0)
    for _ in range(5):
        story.all_is_worked_off(1.0)
    assert story.codex.running
    assert story.codex.queue == []


def test_a_steer_that_its_turn_shows_late_is_waited_for_across_every_break(
    story: BridgeAndCodex,
) -> None:
    story.a_person_types()
    story.codex_goes_on(2)
    story.all_is_worked_off(0)
    story.claude_sends("steer", "the answer is lost", 0)
    story.connect()
    for _ in range(5):
        story.all_is_worked_off(1.0)
    story.the_daemon_is_killed(read=0, goes_on=0)
    for _ in range(5):
        story.all_is_worked_off(1.0)


def test_what_came_into_a_queue_as_it_was_paused_goes_before_what_starts_it(
    story: BridgeAndCodex,
) -> None:
    story.a_person_types()
    story.codex_goes_on(1)
    story.all_is_worked_off(0)
    story.claude_sends("queue", "open", 0)
    story.a_person_stops_the_turn()  # as the message is on its way
    story.all_is_worked_off(0)
    story.claude_sends("queue", "open", 0)


def test_an_overloaded_app_server_is_asked_again_what_it_has_open(story: BridgeAndCodex) -> None:
    story.codex_is_killed()
    story.codex_is_killed()
    story.a_person_types()
    story.the_daemon_is_killed(goes_on=3, read=0)
    story.codex_reads_a_request(overloaded=True)


def test_a_message_that_leaves_the_queue_between_two_looks_is_not_missing(
    story: BridgeAndCodex,
) -> None:
    story.claude_sends("queue", "open", 0)
    story.wire.read_request()
    story.codex_goes_on(1)
    story.the_daemon_is_killed(read=0, goes_on=0)
    story.all_is_worked_off(0)
    story.all_is_worked_off(1.0)


def test_what_codex_noted_as_it_was_killed_is_not_sent_again_and_claude_is_told(
    story: BridgeAndCodex,
) -> None:
    story.claude_sends("queue", "all is well", 0)
    story.codex_goes_on(2)
    story.codex_is_killed(noting=True)
    assert story.codex.never_shown
