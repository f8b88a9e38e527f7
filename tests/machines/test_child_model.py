"""Any history of one supervised process, and what a person could say of it at each moment."""

from __future__ import annotations

from signal import SIGKILL

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agentbridged.machines.child import (
    BACKOFF,
    FATAL,
    RUNNING,
    STARTING,
    STOPPING,
    Command,
    Generation,
    ManagedChild,
    RestartPolicy,
    Spawn,
)


class Process(RuleBasedStateMachine):
    """
    The model: *alive* is the one process there is, by its generation; *newest* was the last one.

    *wanted* is what was asked for last; *crashes* are those in a row, by which it is given up on.
    """

    @initialize(restart=st.booleans(), known=st.integers(0, 3))
    def begin(self, restart: bool, known: int) -> None:
        self.policy = RestartPolicy(backoff=(1, 2), restart_on_success=restart)
        self.child = ManagedChild(self.policy, generation=known)
        self.now = 0.0
        self.alive: Generation | None = None
        self.newest = Generation(known)
        self.wanted = False
        self.crashes = 0

    def obey(self, commands: list[Command]) -> None:
        for command in commands:
            if isinstance(command, Spawn):
                assert self.alive is None, "two processes at once"
                assert self.wanted, "nobody wants it"
                assert command.generation > self.newest, "a generation comes twice"
                self.alive = self.newest = command.generation
            else:
                assert command.generation == self.alive, "a signal to a process that is gone"
                if command.signal is SIGKILL:
                    self.it_ends(success=False)

    @rule()
    def a_start(self) -> None:
        if self.child.state is FATAL or not self.wanted:
            self.crashes = 0
        self.wanted = self.child.state is not STOPPING  # a stop that was asked for is finished
        self.obey(self.child.start(now=self.now))

    @rule()
    def a_stop(self) -> None:
        self.wanted = False
        self.obey(self.child.stop(now=self.now))

    @precondition(lambda self: self.alive is None and self.child.deadline is None)
    @rule(ahead=st.integers(0, 2))
    def one_is_found_alive(self, ahead: int) -> None:
        """The daemon starts, and an earlier one has left it running."""
        self.alive = self.newest = Generation(self.newest + ahead)
        self.wanted, self.crashes = True, 0
        self.obey(self.child.adopt(self.alive, now=self.now))

    @precondition(lambda self: self.alive)
    @rule()
    def it_is_ready(self) -> None:
        self.obey(self.child.ready(self.newest, now=self.now))

    @precondition(lambda self: self.alive)
    @rule(success=st.booleans())
    def it_ends(self, success: bool) -> None:
        self.alive = None
        expected = self.child.state is STOPPING
        enough = success and not self.policy.restart_on_success and self.child.state is RUNNING
        self.obey(self.child.exited(self.newest, now=self.now, success=success))
        if enough:
            self.wanted = False
        elif not expected:
            self.crashes += 1
            assert (self.child.state is FATAL) == (self.crashes > len(self.policy.backoff))

    @rule(ago=st.integers(1, 3), ready=st.booleans(), success=st.booleans())
    def old_news_comes_late(self, ago: int, ready: bool, success: bool) -> None:
        before = dict(vars(self.child))
        old = Generation(self.newest - ago)
        if ready:
            assert self.child.ready(old, now=self.now) == []
        else:
            assert self.child.exited(old, now=self.now, success=success) == []
        assert vars(self.child) == before

    @rule(seconds=st.sampled_from([0.5, 1.0, 5.0, 10.0]))
    def time_passes(self, seconds: float) -> None:
        end = self.now + seconds
        while self.child.deadline is not None and self.child.deadline <= end:
            self.now = max(self.now, self.child.deadline)
            if self.child.state is RUNNING:
                self.crashes = 0  # it was steady
            self.obey(self.child.expire(now=self.now))
        self.now = end

    @invariant()
    def what_is_said_of_it_is_true(self) -> None:
        assert (self.alive is not None) == (self.child.state in (STARTING, RUNNING, STOPPING))
        assert self.child.generation == self.newest

    @invariant()
    def what_is_wanted_is_there_or_will_be_unless_it_was_given_up_on(self) -> None:
        there = self.child.state in (STARTING, RUNNING, BACKOFF)
        assert there == (self.wanted and self.child.state not in (FATAL, STOPPING))

    def teardown(self) -> None:
        """Whatever it does, a stop ends it in bounded time."""
        if hasattr(self, "child"):
            self.a_stop()
            self.time_passes(2 * self.policy.stop_timeout)
            assert self.alive is None


TestProcess = Process.TestCase
