"""An inbox socket such as Claude Code has, that keeps what is written to it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.mcp.scripted_daemon import WAIT

TOKEN = "tok-1"


class ScriptedInbox:
    """Reads lines until the writer closes, as Claude Code does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.texts: list[str] = []
        self.at: list[float] = []
        """When each text was there whole, on the clock of :func:`time.perf_counter`."""
        self._open = 0
        self._changed = asyncio.Event()

    @property
    def environment(self) -> dict[str, str]:
        """What Claude Code puts into its servers' environment."""
        return {
            "CLAUDE_CODE_MESSAGING_SOCKET": str(self.path),
            "CLAUDE_CODE_MESSAGING_TOKEN": TOKEN,
        }

    async def until(self, *texts: str) -> str:
        """Wait until all of these were written; returns everything."""
        async with asyncio.timeout(WAIT):
            while not all(text in "\n".join(self.texts) for text in texts):
                self._changed.clear()
                await self._changed.wait()
        return "\n".join(self.texts)

    async def emptied(self) -> None:
        """Wait until no connection is left open."""
        async with asyncio.timeout(WAIT):
            while self._open:
                self._changed.clear()
                await self._changed.wait()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self._open += 1
        lines: list[dict[str, Any]] = [json.loads(line) async for line in reader]
        writer.close()
        await writer.wait_closed()
        self._open -= 1
        assert lines[0] == {"type": "auth", "token": TOKEN}
        for line in lines[1:]:
            assert (line["type"], line["priority"]) == ("user", "next")
            self.texts.append(line["message"]["content"])
            self.at.append(time.perf_counter())
        self._changed.set()


@asynccontextmanager
async def inbox(path: Path) -> AsyncIterator[ScriptedInbox]:
    """Listen at *path*."""
    box = ScriptedInbox(path)
    async with await asyncio.start_unix_server(box.take, path, limit=4 * 1024 * 1024):
        yield box
        await box.emptied()
