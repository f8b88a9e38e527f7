"""A channel is used where the session was started with ours, and then as MCP has it."""

from __future__ import annotations

import asyncio
import json

import pytest

from agentbridged.mcp.channel import Channel, is_asked_for


@pytest.mark.parametrize(
    "command",
    [
        ["claude", "--channels", "plugin:agentbridge@agentbridge"],
        ["claude", "--channels", "plugin:other@m", "plugin:agentbridge@agentbridge", "-c"],
        ["claude", "--dangerously-load-development-channels", "server:agentbridge"],
        ["claude", "--channels=plugin:agentbridge@inline"],
        ["claude", "--channels", "plugin:x@m,plugin:agentbridge@m"],
    ],
)
def test_a_command_line_that_names_ours_asks_for_it(command: list[str]) -> None:
    assert is_asked_for(command)


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["claude"],
        ["claude", "--channels"],
        ["claude", "--channels", "plugin:other@agentbridge"],
        ["claude", "--channels", "plugin:other@m", "--model", "server:agentbridge"],
        ["claude", "plugin:agentbridge@agentbridge"],
        ["server:agentbridge"],
    ],
)
def test_any_other_does_not(command: list[str]) -> None:
    assert not is_asked_for(command)


async def test_it_is_looked_for_once_and_its_reason_told() -> None:
    answers = [False]
    channel = Channel(lambda _: None, asked_for=answers.pop)
    assert "was not started with" in channel.problem
    assert channel.problem
    assert answers == []


async def test_what_it_sends_is_text_alone_and_not_before_it_is_ready() -> None:
    lines: list[bytes] = []
    channel = Channel(lines.append, asked_for=lambda: True)
    loop = asyncio.get_running_loop()
    channel.ready_at = loop.time() + 1.5
    await channel.write("hello", "codex")
    assert loop.time() == pytest.approx(1.5)
    assert json.loads(lines[0]) == {
        "jsonrpc": "2.0",
        "method": "notifications/claude/channel",
        "params": {"content": "hello", "meta": {"from": "codex"}},
    }
    assert channel.problem == ""
