"""The inbox is written to as Claude Code takes it, and never more often than it takes."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentbridged.mcp import inbox as module
from agentbridged.mcp.inbox import BURST, GATHER, PER_SECOND, Bucket, Inbox
from tests.mcp.scripted_daemon import WAIT
from tests.mcp.scripted_inbox import inbox


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ab", dir="/tmp") as name:
        yield Path(name)


def test_a_burst_goes_at_once_and_what_follows_never_meets_claude_codes_own_limit() -> None:
    bucket, now, room, at = Bucket(now=0), 0.0, 30.0, 0.0
    for number in range(BURST + 200):
        delay = bucket.delay(now=now)
        assert (delay < 2 * GATHER) == (number < BURST)
        now += delay
        bucket.take(now=now)
        room, at = min(30.0, room + (now - at) * 0.5) - 1, now
        assert room >= 0
    assert now == pytest.approx(200 / PER_SECOND, rel=0.01)


def test_we_stay_below_what_claude_code_takes() -> None:
    assert BURST < 30
    assert PER_SECOND < 0.5
    assert module.LINE_LIMIT < 1024 * 1024


def test_a_long_rest_gives_no_more_than_a_burst() -> None:
    bucket = Bucket(now=0)
    for _ in range(BURST):
        assert bucket.delay(now=1e6) < 2 * GATHER
        bucket.take(now=1e6)
    assert bucket.delay(now=1e6) > 2 * GATHER


def test_what_comes_shortly_after_a_write_waits_to_go_together() -> None:
    bucket = Bucket(now=0)
    assert bucket.delay(now=10) == 0
    bucket.take(now=10)
    assert bucket.delay(now=10.01) == pytest.approx(GATHER - 0.01)
    assert bucket.delay(now=10 + GATHER) == 0


def test_a_session_without_an_inbox_says_so() -> None:
    none = Inbox({})
    assert not none.is_offered
    assert "2.1.224" in none.problem


@pytest.mark.realtime
async def test_a_text_arrives_after_the_token_whatever_is_in_it(directory: Path) -> None:
    text = "ü\n\u2028\x01" + "x" * 900_000
    async with inbox(directory / "i.sock") as box:
        ours = Inbox(box.environment)
        assert await ours.write(text)
        await box.until("x" * 10)
    assert box.texts == [text]
    assert ours.problem == ""


@pytest.mark.realtime
async def test_a_dead_inbox_is_told_and_a_revived_one_used_again(directory: Path) -> None:
    async with inbox(directory / "i.sock") as box:
        ours = Inbox(box.environment)
    (directory / "i.sock").unlink(missing_ok=True)
    assert not await ours.write("one")
    assert "i.sock" in ours.problem
    async with inbox(directory / "i.sock") as box:
        assert await ours.write("two")
        await box.until("two")
    assert ours.problem == ""


def inbox_at(path: Path) -> Inbox:
    return Inbox({"CLAUDE_CODE_MESSAGING_SOCKET": str(path), "CLAUDE_CODE_MESSAGING_TOKEN": "t"})


@pytest.mark.realtime
async def test_an_inbox_that_takes_nothing_is_given_up_on(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WRITE_TIMEOUT", 0.1)
    done, left = asyncio.Event(), asyncio.Event()

    async def ignore(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await done.wait()
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        left.set()

    path = directory / "i.sock"
    async with await asyncio.start_unix_server(ignore, path):
        ours = inbox_at(path)
        assert not await ours.write("x" * 10_000_000)
        done.set()
        async with asyncio.timeout(WAIT):
            await left.wait()
    assert "did not take" in ours.problem


@pytest.mark.realtime
async def test_what_was_given_up_on_does_not_arrive_after_all(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WRITE_TIMEOUT", 0.1)
    awake = asyncio.Event()
    read: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def sleep_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await awake.wait()
        read.set_result(await reader.read())
        writer.close()

    path = directory / "i.sock"
    async with await asyncio.start_unix_server(sleep_first, path):
        ours = inbox_at(path)
        assert not await ours.write("x" * 900_000)
        awake.set()
        async with asyncio.timeout(WAIT):
            assert not (await read).endswith(b"\n")
