"""
The official SDK as a client of the shim, as a program of its own; prints what it saw as JSON.

So its event loop, its task groups and its clean-up are none of the test's.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client


async def main(command: list[str]) -> None:
    """Initialize, list the tools, call one well and one badly."""
    server = StdioServerParameters(command=command[0], args=command[1:], env=dict(os.environ))
    async with stdio_client(server) as (reads, writes), ClientSession(reads, writes) as session:
        welcome = await session.initialize()
        listed = await session.list_tools()
        sent = await session.call_tool("send_to_codex", {"text": "hello"})
        refused = await session.call_tool("send_to_codex", {"text": ""})
        seen = {
            "version": welcome.server_info.version,
            "tools": [tool.name for tool in listed.tools],
            "errors": [sent.is_error, refused.is_error],
        }
        print(json.dumps(seen))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
