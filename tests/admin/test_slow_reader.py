"""Who does not read what the admin door sends costs little memory, and holds up nobody."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from agentbridged.admin.server import BACKLOG_LIMIT
from tests.admin.desk import served
from tests.admin.test_server import Line, connect

pytestmark = pytest.mark.realtime

NEWS = {"text": "x" * 10_000}


async def subscribed(directory: Path) -> Line:
    line = await connect(directory)
    assert (await line.ask("events.subscribe"))["result"] == {"subscribed": True}
    return line


async def test_a_listener_that_does_not_read_is_cut_off_and_the_others_hear_on(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as desk:
        lazy, eager = await subscribed(tmp_path), await subscribed(tmp_path)
        lazy.writer.transport.pause_reading()  # type: ignore[attr-defined]
        for n in range(2 * BACKLOG_LIMIT // len(NEWS["text"])):
            desk.tell("message", {**NEWS, "n": n})
            assert (await eager.hear())["params"]["n"] == n
        lazy.writer.transport.resume_reading()  # type: ignore[attr-defined]
        async with asyncio.timeout(30):
            with contextlib.suppress(ConnectionError):
                got = await lazy.reader.read(-1)
                assert len(got) < 2 * BACKLOG_LIMIT
        await eager.ask("status")
        assert len(desk.listeners) == 1
        for line in (lazy, eager):
            with contextlib.suppress(ConnectionError):
                await line.close()


async def test_news_during_a_long_answer_cut_nobody_off_and_come_after_it(tmp_path: Path) -> None:
    async with served(tmp_path) as desk:
        desk.store.ensure_bridge("a-1", "/a")
        for _ in range(8):
            desk.store.add(bridge="a-1", direction="to_claude", sender="codex", text="y" * 900_000)
        line = await subscribed(tmp_path)
        line.reader._limit = 2**24  # type: ignore[attr-defined]
        line.writer.transport.pause_reading()  # type: ignore[attr-defined]
        asked = b'{"jsonrpc":"2.0","id":7,"method":"message.list","params":{}}\n'
        other = await connect(tmp_path)
        await line.say(asked)
        for n in range(3):
            await other.ask("status")  # so that the long one is under way
            desk.tell("message", {"n": n})
        line.writer.transport.resume_reading()  # type: ignore[attr-defined]
        heard = [await line.hear() for _ in range(4)]
        assert heard[0]["id"] == 7
        assert [news["params"]["n"] for news in heard[1:]] == [0, 1, 2]
        await line.close()
        await other.close()
