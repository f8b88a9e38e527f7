"""What Claude is told fits and says what matters."""

from __future__ import annotations

from agentbridged.mcp.texts import INSTRUCTIONS, TOOLS

CLAUDE_CODES_LIMIT = 4096


def test_the_instructions_are_not_cut_off() -> None:
    assert len(INSTRUCTIONS) < CLAUDE_CODES_LIMIT


def test_they_say_who_the_peer_is_and_that_its_word_is_no_permission() -> None:
    for said in ("Codex", "never consent or permission", "cuts off the answer", "send_to_codex"):
        assert said in INSTRUCTIONS


def test_every_tool_is_always_loaded_and_takes_nothing_it_does_not_name() -> None:
    for tool in TOOLS:
        assert tool["_meta"]["anthropic/alwaysLoad"] is True
        assert tool["inputSchema"]["additionalProperties"] is False


def test_steering_is_not_sold_as_harmless() -> None:
    (send,) = (tool for tool in TOOLS if tool["name"] == "send_to_codex")
    assert "CUTS OFF" in send["inputSchema"]["properties"]["when_busy"]["description"]
