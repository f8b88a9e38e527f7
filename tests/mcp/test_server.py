"""The MCP server answers each request once, and nothing ends it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from agentbridged.errors import Refused
from agentbridged.mcp.server import Server
from agentbridged.wire.mcp import Arguments


class Wire:
    """A server without streams: lines in, answers out."""

    def __init__(self, server: Server, answers: list[dict[str, Any]]) -> None:
        self.server, self.answers = server, answers

    def send(self, **message: Any) -> None:
        """Give the server one message."""
        self.server.line(json.dumps({"jsonrpc": "2.0", **message}).encode())

    def call(self, identity: int | str, name: str, **arguments: Any) -> None:
        """Call a tool."""
        self.send(id=identity, method="tools/call", params={"name": name, "arguments": arguments})


@asynccontextmanager
async def serving(tool: Callable[[Arguments], Awaitable[str]]) -> AsyncIterator[Wire]:
    answers: list[dict[str, Any]] = []
    async with asyncio.TaskGroup() as tasks:
        server = Server(tasks, lambda line: answers.append(json.loads(line)), tool)
        yield Wire(server, answers)


async def echo(arguments: Arguments) -> str:
    return repr(arguments)


async def test_ids_keep_their_type() -> None:
    async with serving(echo) as wire:
        wire.send(id=6, method="ping")
        wire.send(id="6", method="ping")
        wire.call("a", "bridge_status")
    assert [answer["id"] for answer in wire.answers] == [6, "6", "a"]


async def test_calls_run_side_by_side_and_each_is_answered_when_done() -> None:
    gate = asyncio.Event()

    async def tool(arguments: Arguments) -> str:
        if type(arguments).__name__ == "WaitForMessage":
            await gate.wait()
        return "done"

    async with serving(tool) as wire:
        wire.call(1, "wait_for_message", timeout_s=5)
        wire.call(2, "bridge_status")
        await asyncio.sleep(1)
        assert [answer["id"] for answer in wire.answers] == [2]
        gate.set()
    assert [answer["id"] for answer in wire.answers] == [2, 1]


async def test_a_cancelled_call_is_never_answered() -> None:
    async def tool(_: Arguments) -> str:
        await asyncio.Event().wait()
        return "never"

    async with serving(tool) as wire:
        wire.call(1, "bridge_status")
        wire.send(method="notifications/cancelled", params={"requestId": "1"})
        wire.send(method="notifications/cancelled", params={"requestId": 99})
        wire.send(method="notifications/cancelled", params=[])
        await asyncio.sleep(1)
        wire.send(method="notifications/cancelled", params={"requestId": 1})
    assert wire.answers == []


async def test_a_refusal_and_a_fault_are_error_results_and_the_server_goes_on() -> None:
    async def tool(arguments: Arguments) -> str:
        if type(arguments).__name__ == "BridgeStatus":
            raise Refused("not now")
        raise RuntimeError("boom")

    async with serving(tool) as wire:
        wire.call(1, "bridge_status")
        wire.call(2, "interrupt_codex")
        await asyncio.sleep(1)
        wire.send(id=3, method="ping")
    results = [answer["result"] for answer in wire.answers]
    assert [result.get("isError") for result in results] == [True, True, None]
    assert results[0]["content"][0]["text"] == "not now"
    assert "boom" in results[1]["content"][0]["text"]


async def test_an_unknown_tool_and_an_overlong_line_are_errors() -> None:
    async with serving(echo) as wire:
        wire.call(1, "no_such_tool")
        wire.server.too_long()
    assert [answer["error"]["code"] for answer in wire.answers] == [-32602, -32600]


async def test_slower_things_begin_only_after_initialize_was_answered() -> None:
    async with serving(echo) as wire:
        wire.send(id=1, method="server/discover")
        await asyncio.sleep(1)
        assert not wire.server.initialized.is_set()
        wire.send(id=2, method="initialize", params={"protocolVersion": "2024-11-05"})
        assert not wire.server.initialized.is_set()
        await asyncio.sleep(1)
        assert wire.server.initialized.is_set()
    assert wire.answers[1]["result"]["protocolVersion"] == "2024-11-05"
