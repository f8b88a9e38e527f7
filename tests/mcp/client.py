"""The shim as a process, with a test at the other end of its standard input and output."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from agentbridged.paths import Paths
from tests.mcp.scripted_daemon import WAIT

COMMAND = [sys.executable, "-c", "from agentbridged.mcp.shim import main; main()"]
ROOT = Path(__file__).parents[2]


def environment(paths: Paths, home: Path, **more: str) -> dict[str, str]:
    """All that the shim's process gets to see."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "AGENTBRIDGE_RUNTIME_DIR": str(paths.runtime),
        "AGENTBRIDGE_STATE_DIR": str(paths.state),
        **more,
    }


class Client:
    """Talks MCP to one shim."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self._ids = itertools.count()
        self._answers: dict[Any, dict[str, Any]] = {}

    def write(self, line: bytes) -> None:
        """Write one line as it is."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")

    def post(self, method: str, params: dict[str, Any] | None = None) -> int:
        """Send a request and do not wait for its answer."""
        identity = next(self._ids)
        body = {"jsonrpc": "2.0", "id": identity, "method": method, "params": params or {}}
        self.write(json.dumps(body).encode())
        return identity

    async def read(self) -> dict[str, Any]:
        """Read the next line."""
        assert self.process.stdout is not None
        async with asyncio.timeout(WAIT):
            line = await self.process.stdout.readline()
        assert line, "the shim ended"
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def answer(self, identity: Any) -> dict[str, Any]:
        """Wait for the answer to a request."""
        while identity not in self._answers:
            answer = await self.read()
            self._answers[answer["id"]] = answer
        return self._answers.pop(identity)

    async def ask(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send a request and wait for its answer."""
        return await self.answer(self.post(method, params))

    async def initialize(self) -> dict[str, Any]:
        """Open the MCP session."""
        return await self.ask("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}})

    async def tool(self, name: str, **arguments: Any) -> tuple[str, bool]:
        """Call a tool; returns its text and whether it is an error."""
        identity = self.post("tools/call", {"name": name, "arguments": arguments})
        return self.result(await self.answer(identity))

    @staticmethod
    def result(answer: dict[str, Any]) -> tuple[str, bool]:
        """Text and error flag of a tool's answer."""
        result = answer["result"]
        return result["content"][0]["text"], result["isError"]


@asynccontextmanager
async def shim(env: dict[str, str], cwd: Path) -> AsyncIterator[Client]:
    """Run a shim; its input is closed at the end, and it must then end by itself."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND, stdin=PIPE, stdout=PIPE, env=env, cwd=cwd, limit=64 * 1024 * 1024
    )
    try:
        yield Client(process)
        assert process.stdin is not None
        process.stdin.close()
        async with asyncio.timeout(WAIT):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        process._transport.close()  # type: ignore[attr-defined]
