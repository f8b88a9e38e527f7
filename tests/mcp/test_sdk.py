"""The official SDK, as an independent client, finds a proper server."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

from agentbridged import __version__
from agentbridged.wire.mcp import TOOLS
from tests.mcp.client import COMMAND, environment
from tests.mcp.scripted_daemon import paths_below, serving

pytestmark = pytest.mark.realtime


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ab", dir="/tmp") as name:
        yield Path(name)


async def test_the_sdk_initializes_lists_the_tools_and_calls_them(home: Path) -> None:
    paths = paths_below(home)
    server = StdioServerParameters(
        command=sys.executable, args=COMMAND[1:], env=environment(paths, home), cwd=home
    )
    async with (
        serving(paths) as daemon,
        stdio_client(server) as (reads, writes),
        ClientSession(reads, writes) as session,
    ):
        welcome = await session.initialize()
        assert welcome.server_info.version == __version__
        listed = await session.list_tools()
        assert [tool.name for tool in listed.tools] == list(TOOLS)
        sent = await session.call_tool("send_to_codex", {"text": "hello"})
        assert not sent.is_error
        assert daemon.named("send")[0]["text"] == "hello"
        refused = await session.call_tool("send_to_codex", {"text": ""})
        assert refused.is_error
