"""The official SDK, as an independent client, finds a proper server."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from agentbridged import __version__
from agentbridged.wire.mcp import TOOLS
from tests.mcp.client import COMMAND, environment
from tests.mcp.scripted_daemon import paths_below, serving

PROGRAM = Path(__file__).with_name("sdk_client.py")
PATIENCE = 60.0


@pytest.mark.realtime
async def test_the_sdk_initializes_lists_the_tools_and_calls_them(home: Path) -> None:
    paths = paths_below(home)
    async with serving(paths) as daemon:
        client = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", str(PROGRAM), *COMMAND),
            stdout=PIPE,
            env=environment(paths, home),
            cwd=home,
        )
        async with asyncio.timeout(PATIENCE):
            printed, _ = await client.communicate()
        seen = json.loads(printed)
        assert seen == {"version": __version__, "tools": list(TOOLS), "errors": [False, True]}
        assert [sent["text"] for sent in daemon.named("send")] == ["hello"]
