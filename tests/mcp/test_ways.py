"""The ways of a session are told with their reasons, in one shape and in words."""

from __future__ import annotations

from agentbridged.machines.ladder import NO_TRANSCRIPT, Ways
from agentbridged.mcp.ways import describe, in_words
from agentbridged.wire import claude
from agentbridged.wire.claude import MEASURED


def told(
    ways: Ways, *proven: claude.Step | claude.Proof, problem: str = "", hooked: bool = False
) -> dict[str, tuple[str, str]]:
    described = describe(MEASURED, ways, inbox_problem=problem, hooked=hooked, proven=proven)
    return {way.step: (way.state, way.why) for way in described.ways}


def test_what_there_is_and_was_not_used_yet() -> None:
    said = told(Ways())
    assert (said["inbox"], said["read"], said["proof"]) == (("usable", ""),) * 3
    assert said["channel"][0] == said["stop_hook"][0] == "unknown"
    assert said["channel"][1]
    assert said["stop_hook"][1]


def test_what_is_missing_says_why() -> None:
    said = told(Ways(inbox="none named", channel="not asked for", proof="another format"))
    assert said["inbox"] == ("off", "none named")
    assert said["channel"] == ("off", "not asked for")
    assert said["proof"] == ("off", "another format")
    assert told(Ways(proof=NO_TRANSCRIPT))["proof"] == ("unknown", NO_TRANSCRIPT)


def test_what_worked_is_proven_until_it_fails() -> None:
    said = told(Ways(), "inbox", "channel", "stop_hook", "transcript")
    assert {state for state, _ in said.values()} == {"proven", "usable"}
    said = told(Ways(), "inbox", problem="it did not take a message")
    assert said["inbox"] == ("usable", "it did not take a message")


def test_a_hook_that_called_is_there() -> None:
    assert told(Ways(), hooked=True)["stop_hook"] == ("usable", "")


def test_another_claude_code_than_the_measured_one_is_named() -> None:
    way = claude.Way(step="inbox", state="off", why="none named")
    first, second = in_words(claude.Ways(claude_version="9.1.0", ways=[way]))
    assert "9.1.0" in first
    assert MEASURED in first
    assert second == "  1 inbox socket: off: none named"
    assert "measured" not in in_words(claude.Ways(claude_version=MEASURED, ways=[]))[0]
