"""
The MCP server: answers Claude Code's requests, line by line.

Whatever comes in, it serves on. Tool calls run side by side, each a task; the client can cancel
them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from agentbridged import __version__
from agentbridged.errors import AgentBridgeError, ProtocolError
from agentbridged.mcp.channel import CAPABILITY
from agentbridged.mcp.texts import INSTRUCTIONS, TOOLS
from agentbridged.wire import jsonrpc
from agentbridged.wire.jsonrpc import ErrorCode
from agentbridged.wire.mcp import (
    Arguments,
    CallTool,
    Cancelled,
    Initialize,
    arguments_of,
    negotiate,
    result,
)


class Server:
    """One MCP session over one pair of streams."""

    def __init__(
        self,
        tasks: asyncio.TaskGroup,
        write: Callable[[bytes], None],
        tool: Callable[[Arguments], Awaitable[str]],
    ) -> None:
        self._tasks, self._write, self._tool = tasks, write, tool
        self._calls: dict[jsonrpc.Id, asyncio.Task[None]] = {}
        self.client_version = ""
        """Of Claude Code, once ``initialize`` was answered."""
        self.initialized = asyncio.Event()
        """Set once ``initialize`` was answered: time for slower things."""

    def line(self, line: bytes) -> None:
        """Take one line in."""
        try:
            message = jsonrpc.decode(line)
        except ProtocolError as error:
            self._write(jsonrpc.failure(_salvaged_id(line), error.code, str(error)))
            return
        match message:
            case jsonrpc.Request():
                self._request(message)
            case jsonrpc.Notification("notifications/cancelled", params):
                self._cancelled(params)
            case _:
                pass  # Other notifications ask for nothing, and we have asked for no answers.

    def too_long(self) -> None:
        """A line was longer than can be taken."""
        self._write(jsonrpc.failure(None, ErrorCode.INVALID_REQUEST, "the line is too long"))

    def cancel_all(self) -> None:
        """End the tool calls that run: nobody is left to hear their answers."""
        for task in list(self._calls.values()):
            task.cancel()

    def _request(self, request: jsonrpc.Request) -> None:
        try:
            answer = self._answer(request)
        except ProtocolError as error:
            self._write(jsonrpc.failure(request.id, error.code, str(error)))
            return
        if answer is not None:
            self._write(jsonrpc.success(request.id, answer))

    def _answer(self, request: jsonrpc.Request) -> dict[str, Any] | None:
        match request.method:
            case "initialize":
                # Ready first: what starts now imports for a while.
                asyncio.get_running_loop().call_soon(self.initialized.set)
                client = jsonrpc.params_as(Initialize, request.params)
                self.client_version = client.client_info.version
                return _welcome(client)
            case "ping":
                return {}
            case "tools/list":
                return {"tools": TOOLS}
            case "tools/call":
                self._call(request.id, jsonrpc.params_as(CallTool, request.params))
                return None
            case method:
                raise ProtocolError(f"no method {method!r}", code=ErrorCode.METHOD_NOT_FOUND)

    def _call(self, identity: jsonrpc.Id, call: CallTool) -> None:
        try:
            arguments = arguments_of(call)
        except ProtocolError as error:
            if error.code == ErrorCode.INVALID_PARAMS:
                raise
            text = f"{error}. Nothing was sent."
            self._write(jsonrpc.success(identity, result(text, is_error=True)))
            return
        task = self._tasks.create_task(self._run(identity, arguments), name=f"tool {call.name}")
        self._calls[identity] = task
        task.add_done_callback(lambda _: self._calls.pop(identity, None))

    async def _run(self, identity: jsonrpc.Id, arguments: Arguments) -> None:
        try:
            answer = result(await self._tool(arguments))
        except AgentBridgeError as error:
            answer = result(str(error), is_error=True)
        except Exception as error:
            # A fault of ours must not end the server: Claude Code would not start it again.
            answer = result(f"a fault of agentbridge's own: {error!r}", is_error=True)
        self._write(jsonrpc.success(identity, answer))

    def _cancelled(self, params: Any) -> None:
        try:
            identity = jsonrpc.params_as(Cancelled, params).request_id
        except ProtocolError:
            return
        if task := self._calls.get(identity):
            task.cancel()


def _welcome(client: Initialize) -> dict[str, Any]:
    return {
        "protocolVersion": negotiate(client.protocol_version),
        "capabilities": {"tools": {}, "experimental": CAPABILITY},
        "serverInfo": {"name": "agentbridge", "title": "agentbridge", "version": __version__},
        "instructions": INSTRUCTIONS,
    }


def _salvaged_id(line: bytes) -> jsonrpc.Id | None:
    """
    Find the id of a request that cannot be taken, so that its sender does not wait for ever.

    The standard library reads some that msgspec does not: half a surrogate pair, for one.
    """
    try:
        identity = json.loads(line).get("id")
    except (ValueError, AttributeError, RecursionError):
        return None
    return identity if isinstance(identity, int | str) and not isinstance(identity, bool) else None
