"""
Any history of one bridge and a model of Claude Code: what Codex said is told, in order, and once.

The daemon's side and the shim's are the real ones; Claude Code and the wire are a model. Faults
come at any moment: daemon, shim and session are killed, the line breaks with frames read or not,
the inbox refuses or loses, the person holds back, the transcript lags.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agentbridged.machines.relay_policy import Route
from agentbridged.machines.switch import Verb
from tests.mcp.scene import Scene

HAS_INBOX = st.sampled_from([True, True, True, False])
CHANNELS = st.sampled_from(["", "", "open", "dropped"])
FATES = st.sampled_from(["taken", "taken", "taken", "refused", "stalled", "lost", "held"])
ROUTES = st.sampled_from([Route.PUSH, Route.PUSH, Route.DIGEST])
SOON = st.sampled_from([0.0, 0.0, 2.0, 20.0])
AFTER = st.sampled_from(["nothing", "another", "the same", "the same"])
FEW = st.integers(0, 2)


Rule = TypeVar("Rule", bound=Callable[..., Any])


def fault(when: Callable[[Any], Any] = lambda machine: True) -> Callable[[Rule], Rule]:
    """Keep a rule out of histories in which nothing goes wrong."""

    def marked(rule: Rule) -> Rule:
        return precondition(lambda self: not self.is_peaceful and when(self))(rule)

    return marked


class BridgeAndClaude(RuleBasedStateMachine):
    """
    The model: what Codex said, in order, and all that a Claude was shown.

    At the end a session lives: then each message was before a model, and the store knows it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scene = Scene()
        self.is_peaceful = False

    @property
    def claude(self) -> Any:
        return self.scene.claude

    @initialize(
        has_inbox=HAS_INBOX, channel=CHANNELS, peaceful=st.sampled_from([False, False, False, True])
    )
    def begin(self, has_inbox: bool = True, channel: str = "", peaceful: bool = False) -> None:
        self.is_peaceful = peaceful
        self.scene.start_daemon()
        self.scene.start_session(has_inbox=has_inbox, channel=channel)
        self.scene.settle()

    # What people and programs do

    @rule(
        route=ROUTES,
        is_long=st.integers(0, 5).map(lambda one_in: one_in == 5),
        fate=FATES,
        then=SOON,
    )
    def codex_says(
        self,
        route: Route = Route.PUSH,
        is_long: bool = False,
        fate: str = "taken",
        then: float = 0.0,
    ) -> None:
        """What the inbox does with it is as good as what it does until the next."""
        if not self.is_peaceful:
            self.claude.fate = fate
        self.scene.says(route, is_long=is_long)
        self.scene.settle()
        self.scene.pass_time(then)

    @rule(route=ROUTES, then=SOON)
    def codex_says_more(self, route: Route, then: float) -> None:
        self.codex_says(route, then=then)

    @precondition(lambda self: self.scene.lives and not self.claude.is_running)
    @rule()
    def a_person_types(self) -> None:
        self.claude.types()
        self.scene.settle()

    @precondition(lambda self: self.scene.is_free)
    @rule()
    def the_turn_goes_on(self) -> None:
        self.claude.joins()
        self.scene.settle()

    @precondition(lambda self: self.scene.is_free)
    @rule()
    def the_turn_ends(self) -> None:
        self.scene.end_turn()
        self.scene.settle()

    @precondition(lambda self: self.scene.is_free and self.scene.server)
    @rule(limit=st.integers(1, 3), waits=st.sampled_from([0, 0, 5, 60]))
    def claude_reads(self, limit: int = 3, waits: int = 0) -> None:
        self.scene.read(limit=limit, waits=waits)
        self.scene.settle()

    @precondition(lambda self: self.scene.lives and not self.claude.is_running)
    @rule()
    def a_person_clears(self) -> None:
        self.claude.clear()
        self.scene.talks.append(self.claude.talk)
        self.scene.settle()

    @precondition(lambda self: self.scene.lives and self.claude.held)
    @rule(lets_in=st.booleans())
    def a_person_decides(self, lets_in: bool = True) -> None:
        self.claude.lets_in() if lets_in else self.scene.discard()
        self.scene.settle()

    @rule(seconds=st.sampled_from([0.3, 2.0, 6.0, 20.0, 120.0]))
    def time_passes(self, seconds: float) -> None:
        self.scene.pass_time(seconds)

    @rule(verb=st.sampled_from(["pause", "kill"]), back=st.sampled_from([None, 0.0, 20.0]))
    def a_person_switches(self, verb: Verb, back: float | None) -> None:
        if not self.scene.switch_back():
            self.scene.switch(verb)
        self.scene.settle()
        if back is not None:
            self.scene.pass_time(back)
            self.scene.switch_back()
            self.scene.settle()

    @precondition(lambda self: not self.scene.lives)
    @rule(resumes=st.booleans(), has_inbox=HAS_INBOX, channel=CHANNELS)
    def a_session_starts(
        self, resumes: bool = True, has_inbox: bool = True, channel: str = ""
    ) -> None:
        talk = self.claude.talk if resumes else None
        self.scene.start_session(has_inbox=has_inbox, channel=channel, resumes=talk)
        self.scene.settle()

    @precondition(lambda self: self.scene.lives and not self.scene.server)
    @rule()
    def a_person_reconnects_the_server(self) -> None:
        self.scene.start_server()
        self.scene.settle()

    # Faults

    @fault()
    @rule(is_late=st.booleans())
    def the_transcript_lags(self, is_late: bool = True) -> None:
        self.claude.talk.is_late = is_late
        if not is_late:
            self.claude.talk.write()
        self.scene.settle()

    @fault(lambda self: self.scene.hook)
    @rule()
    def a_person_stops_the_hook(self) -> None:
        self.scene.drop_calls()
        self.claude.ends_turn()
        self.scene.settle()

    @fault(lambda self: self.scene.line)
    @rule(end=st.sampled_from(["daemon", "shim"]))
    def the_line_is_slow(self, end: str = "daemon") -> None:
        """What is said to this end stays in flight."""
        getattr(self.scene.line, end).is_held = True

    @precondition(lambda self: self.scene.line and self.scene.line.is_held)
    @rule()
    def the_line_flows(self) -> None:
        assert self.scene.line
        self.scene.line.flow()
        self.scene.settle()

    @fault(lambda self: self.scene.line)
    @rule(to_daemon=FEW, to_shim=FEW)
    def the_line_breaks(self, to_daemon: int = 0, to_shim: int = 0) -> None:
        assert self.scene.line
        self.scene.line.cut(to_daemon=to_daemon, to_shim=to_shim)
        self.scene.settle()

    @fault()
    @rule(to_shim=FEW, away=st.sampled_from([0.0, 1.0, 60.0]))
    def the_daemon_is_killed(self, to_shim: int = 0, away: float = 0.0) -> None:
        self.scene.kill_daemon(to_shim=to_shim)
        self.scene.pass_time(away)
        self.scene.start_daemon()
        self.scene.settle()

    @fault(lambda self: self.scene.server)
    @rule(to_daemon=FEW, then=AFTER)
    def the_shim_dies(self, to_daemon: int = 0, then: str = "another") -> None:
        self.scene.kill_server(to_daemon=to_daemon)
        self.scene.settle()
        if then != "nothing":
            self.a_person_reconnects_the_server()

    @fault(lambda self: self.scene.lives)
    @rule(noting=st.booleans(), to_daemon=FEW, then=AFTER)
    def the_session_is_killed(
        self, noting: bool = True, to_daemon: int = 0, then: str = "the same"
    ) -> None:
        self.scene.kill_session(noting=noting, to_daemon=to_daemon)
        self.scene.settle()
        if then != "nothing":
            self.a_session_starts(resumes=then == "the same")

    # What must hold

    @invariant()
    def it_holds(self) -> None:
        if hasattr(self.scene, "claude"):
            self.scene.holds()
            if self.is_peaceful:
                self.scene.comes_once()

    def teardown(self) -> None:
        try:
            if hasattr(self.scene, "claude"):
                self.scene.ends_well()
                if self.is_peaceful:
                    self.scene.comes_once()
        finally:
            self.scene.close()


TestBridgeAndClaude = BridgeAndClaude.TestCase
TestBridgeAndClaude.settings = settings(max_examples=settings().max_examples * 2 // 5)
"""A history of this one takes ten times as long as another's."""


# What it found


@pytest.fixture
def story() -> Iterator[BridgeAndClaude]:
    story = BridgeAndClaude()
    yield story
    story.teardown()


def test_a_message_that_the_inbox_refused_is_not_overtaken(story: BridgeAndClaude) -> None:
    story.begin()
    story.codex_says(fate="refused")
    story.codex_says(fate="taken")
    story.time_passes(6.0)
    assert [one.number for one in story.claude.talk.shown] == [0, 1]


def test_the_head_of_a_message_is_no_proof_of_the_whole_to_the_next_server(
    story: BridgeAndClaude,
) -> None:
    story.begin(has_inbox=False)
    story.a_person_types()
    story.codex_says(is_long=True)
    story.the_turn_ends()
    story.the_shim_dies()
    story.time_passes(20.0)
    assert [row.state for row in story.scene.rows()] == ["written"]
    story.claude_reads()
    assert [row.state for row in story.scene.rows()] == ["consumed"]
    assert [one.way for one in story.claude.talk.shown] == ["stop_hook", "read"]


def test_what_was_shown_and_not_reported_is_proven_to_the_next_server(
    story: BridgeAndClaude,
) -> None:
    story.begin()
    story.the_line_is_slow("daemon")
    story.codex_says()
    story.the_shim_dies()
    story.time_passes(20.0)
    assert [row.state for row in story.scene.rows()] == ["consumed"]
    assert len(story.claude.talk.shown) == 1


def test_what_waits_in_the_queue_and_was_not_reported_is_marked_by_the_next_server(
    story: BridgeAndClaude,
) -> None:
    story.begin()
    story.a_person_types()
    story.the_line_is_slow("daemon")
    story.codex_says()
    story.the_shim_dies()
    story.time_passes(2.0)
    story.the_turn_goes_on()
    assert [one.marked for one in story.claude.talk.shown] == [False, True]


def test_a_resumed_session_is_not_given_again_what_it_was_shown(story: BridgeAndClaude) -> None:
    story.begin()
    story.the_line_is_slow("daemon")
    story.codex_says()
    story.the_session_is_killed(then="the same")
    story.time_passes(20.0)
    assert len(story.claude.talk.shown) == 1
