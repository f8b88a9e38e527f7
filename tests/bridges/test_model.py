"""
Any history of one bridge and a model of Codex: each message is there once, and none is lost.

The bridge is the real one, with its store, its ledger, its Codex side and the hub; Codex and the
wire are a model. Faults come at any moment: the daemon is killed, the connection breaks with
requests read or not, Codex is overloaded, killed, slow; a person types, stops turns, lets them go
on, and goes from one thread to the other.
"""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agentbridged.bridges.bridge import Bridge
from agentbridged.codex.hub import Hub
from agentbridged.config import Governor, Relay, Settings
from agentbridged.store import Store
from agentbridged.wire import link
from agentbridged.wire.claude import Send, WhenBusy
from tests.codex.model import OVERLOADED, THREADS, Codex, Wire
from tests.codex.model_thread import ModelThread, Said
from tests.conftest import VirtualClockLoop

ROOT = "/p"
UNGOVERNED = Governor(enabled=False)
"""No person ever speaks in here."""
PATIENCE = 3
"""Rounds without a change after which nothing is left to do: a retry, two looks."""
WAYS = st.sampled_from(["queue", "queue", "steer", "interrupt"])
FATES = st.sampled_from(["open", "all is well", "the answer is lost", "the daemon is killed"])
ENDS = st.sampled_from(["completed", "completed", "failed"])
THREAD = st.sampled_from(["a", "a", "b"])
SHOWN = st.sampled_from([None, *THREADS])
SOON = st.integers(0, 4)
SECONDS = st.sampled_from([0.0, 1.0, 10.0])
ROUNDS = 300
"""More than any calm takes: one that is not over by then never will be."""


class Loop(VirtualClockLoop):
    """Its time stands still for a whole stretch of rules, and for no more."""

    patience = 50_000


class Daemon:
    """What a ``kill -9`` takes away."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        loop: asyncio.AbstractEventLoop,
        shown: str | None,
    ) -> None:
        row = store.bridge("p-1")
        assert row is not None
        self.bridge = Bridge(row, store, lambda: settings, lambda event, details: None)
        self.hub = Hub(lambda root: self.bridge.codex, lambda: [self.bridge.codex])
        self.tasks = [loop.create_task(run()) for run in (self.bridge.codex.run, self.hub.run)]
        self.told_shown(shown)

    def told_shown(self, thread: str | None) -> None:
        """The proxy tells what its one TUI shows now; ``None``: it is gone."""
        self.hub.proxy_said(link.TuiLeft(1) if thread is None else link.TuiShows(1, thread))


class BridgeAndCodex(RuleBasedStateMachine):
    """
    The model: what Claude sent and was acknowledged, in order, each with its way.

    At the end Codex has noted each once, in one of its threads, and the store has each answer to
    them once, and what became of each of their turns.
    """

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.store = Store(Path(self.directory.name) / "db")
        self.loop = Loop()
        self.sent: dict[str, WhenBusy] = {}
        self.shown: str | None = None
        """The thread that a TUI behind the proxy shows."""

    @initialize(has_queue=st.booleans(), relay=st.sampled_from(["all", "replies"]))
    def begin(self, has_queue: bool, relay: Relay = "all") -> None:
        self.settings = Settings(governor=UNGOVERNED, relay=relay)
        self.store.ensure_bridge("p-1", ROOT)
        self.store.mark_attached("p-1")
        self.codex = Codex(ROOT, Path(self.directory.name), has_queue=has_queue)
        self.start()
        self.work_off()

    def start(self) -> None:
        self.daemon = Daemon(self.store, self.settings, self.loop, self.shown)
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

    @rule(thread=THREAD)
    def a_person_types(self, thread: str = "a") -> None:
        self.codex[thread].begins_next()
        self.codex[thread].opens()
        self.codex[thread].types(Said(None, "hello"))

    @precondition(lambda self: any(thread.running for thread in self.codex.all))
    @rule(thread=THREAD)
    def a_person_stops_the_turn(self, thread: str = "a") -> None:
        if not self.codex[thread].running:
            thread = next(thread.id for thread in self.codex.all if thread.running)
        self.codex[thread].ends("interrupted")

    @rule(thread=st.sampled_from(THREADS))
    def a_person_switches(self, thread: str) -> None:
        """In a TUI behind the proxy; a plain one is heard of only when it opens a thread."""
        self.codex[thread].opens()
        self.shown = thread
        self.daemon.told_shown(thread)
        self.settle()

    @precondition(lambda self: self.shown)
    @rule()
    def a_person_leaves(self) -> None:
        self.shown = None
        self.daemon.told_shown(None)
        self.settle()

    @rule(thread=THREAD, steps=st.integers(1, 4), end=ENDS)
    def codex_goes_on(self, steps: int, end: str = "completed", thread: str = "a") -> None:
        for _ in range(steps):
            self.codex[thread].goes_on(end)

    @rule()
    def a_minute_goes_by_in_codex(self) -> None:
        for thread in self.codex.all:
            left = thread.loaded and thread.id != self.shown and not self.codex.subscribed(thread)
            if left and not thread.busy and not thread.queue:
                thread.closes()

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

    @precondition(lambda self: self.wire.requests)
    @rule(many=st.integers(1, 4))
    def requests_are_answered(self, many: int) -> None:
        for _ in range(many):
            self.work_off_one()

    @rule(seconds=SECONDS, thread=THREAD, after=SOON, steps=SOON, overloaded=st.booleans())
    def all_is_worked_off(
        self,
        seconds: float,
        thread: str = "a",
        after: int = 0,
        steps: int = 0,
        overloaded: bool = False,
    ) -> None:
        """As Codex has read so many requests, it goes on by so many steps, or has to refuse one."""
        self.pass_time(seconds)
        for _ in range(after):
            self.work_off_one()
        self.codex_goes_on(steps, thread=thread)
        if overloaded and self.wire.requests:
            self.wire.read_request(OVERLOADED)
        self.work_off()

    # Faults

    @rule(read=st.integers(0, 2), goes_on=st.integers(0, 4), thread=THREAD)
    def the_connection_breaks(self, read: int, goes_on: int, thread: str = "a") -> None:
        if not self.wire.is_open:
            self.connect()
            return
        self.wire.cut(read=read)
        self.daemon.hub.gone()
        self.settle()
        self.codex_goes_on(goes_on, thread=thread)

    @rule(read=st.integers(0, 2), goes_on=st.integers(0, 4), thread=THREAD, shown=SHOWN)
    def the_daemon_is_killed(
        self, read: int, goes_on: int, thread: str = "a", shown: str | None = None
    ) -> None:
        """And a person switches meanwhile."""
        self.kill()
        self.wire.cut(read=read)
        self.codex_goes_on(goes_on, thread=thread)
        if shown is not None:
            self.codex[shown].opens()
            self.shown = shown
        self.start()

    @rule(noting=st.booleans())
    def codex_is_killed(self, noting: bool = False) -> None:
        self.codex.dies(noting=noting)
        if self.wire.is_open:
            self.the_connection_breaks(read=0, goes_on=0)

    # What must hold

    def work_off(self) -> None:
        while self.wire.requests or self.wire.frames:
            self.work_off_one()

    def work_off_one(self) -> None:
        """The next request is read, and all that is to be heard arrives."""
        if self.wire.requests:
            self.wire.read_request()
        while self.wire.frames:
            self.wire.deliver()
        self.settle()

    def pass_time(self, seconds: float) -> None:
        for thread in self.codex.all:
            thread.begins_next()  # what leaves the queue is in its turn within milliseconds
        self.loop.run_until_complete(asyncio.sleep(seconds))
        self.settle()

    @invariant()
    def no_message_is_in_codex_twice(self) -> None:
        there = [id for thread in self.codex.all for id in thread.held]
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
            for thread in self.codex.all:
                self.rests(thread)
            self.pass_time(20)
            self.work_off()
            for thread in self.codex.all if person else []:
                if thread.id == "a" or thread.queue:
                    thread.opens()
                if thread.paused and thread.queue:
                    thread.types(Said(None, "go on"))
            same = same + 1 if self.picture() == before else 0
            if same == PATIENCE:
                return
        raise AssertionError("it never becomes calm")

    def rests(self, thread: ModelThread) -> None:
        """A thread does what it has to do, and says no more."""
        thread.takes_next()
        thread.begins_next()
        while (turn := thread.running) is not None:
            if turn.unshown:
                thread.shows()
            else:
                thread.ends("completed")
            self.work_off()

    def stands_still(self) -> None:
        if not self.wire.is_open:
            self.connect()
        for _ in range(PATIENCE):
            self.pass_time(20)
            self.work_off()
        self.no_message_is_in_codex_twice()

    def picture(self) -> list[Any]:
        states = [row.state for row in self.store.history("p-1", limit=1000)]
        return [states, [(len(t.queue), len(t.turns), list(t.noted)) for t in self.codex.all]]

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
        for thread in self.codex.all:
            stuck = {entry for entry, _ in thread.queue} & thread.waits_for_ever
            assert not stuck, "it was put into a paused queue, and nobody started it"
        self.becomes_calm(person=True)
        noted = [id for thread in self.codex.all for id in thread.noted]
        assert sorted(noted) == sorted(self.sent)
        for thread in self.codex.all:
            self.each_turns_end_is_known(thread)
            self.each_answer_is_kept_once(thread)
            self.order_is_kept(thread)
        turns = self.daemon.bridge.codex.turns
        assert not turns.active
        assert turns.turn_id is None

    def order_is_kept(self, thread: ModelThread) -> None:
        """Of what was tried in no other thread; nothing waits until another thread's turn ends."""
        here = [
            id for id in thread.noted if self.sent[id] == "queue" and self.tried(id) == {thread.id}
        ]
        assert thread.swallowed or here == [id for id in self.sent if id in here]

    def tried(self, id: str) -> set[str]:
        return {what.detail for what in self.store.attempts(id) if what.result == "sending"}

    def each_turns_end_is_known(self, thread: ModelThread) -> None:
        for id, turn in thread.noted.items():
            ends = [what.result for what in self.store.attempts(id) if what.step == "turn"]
            row = self.store.message(id)
            assert row is not None
            if turn.status == "completed":
                assert (row.state, ends.count("interrupted")) == ("answered", 0)
            else:
                assert (row.state, ends.count(turn.status)) == ("consumed", 1)

    def each_answer_is_kept_once(self, thread: ModelThread) -> None:
        """An answer to Claude's messages for Claude; another, of a thread not bound, may be not."""
        rows = self.store.history("p-1", limit=1000)
        kept = [row for row in rows if row.thread_id == thread.id and row.direction == "to_claude"]
        said = [row.text for row in kept]
        if self.codex["b"].created is None:
            assert said == list(thread.answers)
        assert len(said) == len(set(said))
        for_claude = [text for text, is_for_claude in thread.answers.items() if is_for_claude]
        accepted = [row.text for row in kept if row.state == "accepted"]
        assert [text for text in accepted if text in for_claude] == for_claude


TestBridgeAndCodex = BridgeAndCodex.TestCase
TestBridgeAndCodex.settings = settings(max_examples=settings().max_examples * 2 // 5)
"""A history of this one takes ten times as long as another's."""
