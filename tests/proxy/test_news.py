import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agentbridged import __version__
from agentbridged.peercred import listen_private
from agentbridged.proxy import news as subject
from agentbridged.proxy.news import Newsdesk
from agentbridged.wire.link import (
    FromProxy,
    Hello,
    Shutdown,
    TuiCame,
    TuiLeft,
    TuiShows,
    Upstream,
    decode_from_proxy,
    encode,
)
from tests.proxy.scene import PATIENCE, End

pytestmark = pytest.mark.realtime
HELLO = Hello(pid=os.getpid(), generation=3, version=__version__)


class Scene:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.upstreams: list[str] = []
        self.shutdowns = 0
        self.happened = asyncio.Event()
        self.desk = Newsdesk(
            3, upstream=self.upstreams.append, shutdown=self.shut, changed=self.happened.set
        )

    def shut(self) -> None:
        self.shutdowns += 1

    def quiet(self) -> bool:
        return self.desk.is_quiet

    async def daemon(self) -> End:
        return await End.connect(self.path)


async def hears(daemon: End) -> FromProxy:
    async with asyncio.timeout(PATIENCE):
        return decode_from_proxy(await daemon.reader.readline())


@asynccontextmanager
async def desk(folder: Path) -> AsyncIterator[Scene]:
    scene = Scene(folder / "p")
    await scene.desk.open(listen_private(scene.path))
    try:
        yield scene
    finally:
        await scene.desk.close()


async def test_a_daemon_hears_who_this_is_then_who_is_here_then_what_happens(
    short_folder: Path,
) -> None:
    async with desk(short_folder) as scene:
        scene.desk.came(1, 10)
        scene.desk.shows(1, "old")
        scene.desk.shows(1, "t1")
        scene.desk.came(2, 20)
        scene.desk.left(2)
        daemon = await scene.daemon()
        assert [await hears(daemon) for _ in range(3)] == [
            HELLO,
            TuiCame(1, 10),
            TuiShows(1, "t1"),
        ]
        scene.desk.came(3, 30)
        scene.desk.left(1)
        assert [await hears(daemon) for _ in range(2)] == [TuiCame(3, 30), TuiLeft(1)]
        await daemon.close()


async def test_a_daemon_that_comes_late_hears_the_latest_switch_last(short_folder: Path) -> None:
    async with desk(short_folder) as scene:
        for tui in (1, 2):
            scene.desk.came(tui, 10 * tui)
            scene.desk.shows(tui, f"t{tui}")
        scene.desk.shows(1, "t3")
        daemon = await scene.daemon()
        heard = [await hears(daemon) for _ in range(5)]
        assert heard[1:] == [TuiCame(2, 20), TuiShows(2, "t2"), TuiCame(1, 10), TuiShows(1, "t3")]
        await daemon.close()


async def test_news_of_a_tui_that_left_is_no_news(short_folder: Path) -> None:
    async with desk(short_folder) as scene:
        daemon = await scene.daemon()
        await hears(daemon)
        scene.desk.shows(9, "t")
        scene.desk.left(9)
        scene.desk.came(1, 0)
        assert await hears(daemon) == TuiCame(1, 0)
        await daemon.close()


async def test_a_daemons_word_is_obeyed_and_a_broken_line_changes_nothing(
    short_folder: Path,
) -> None:
    async with desk(short_folder) as scene:
        daemon = await scene.daemon()
        await hears(daemon)
        await daemon.send(encode(Upstream("/a", 1)) + encode(Shutdown()))
        await daemon.close()
        async with asyncio.timeout(PATIENCE):
            while not scene.quiet():
                scene.happened.clear()
                await scene.happened.wait()
        assert (scene.upstreams, scene.shutdowns) == (["/a"], 1)


@pytest.mark.parametrize("line", [b"garbage\n", b'{"type":"hello"}\n', b"x" * 100_000, b"\xff\n"])
async def test_what_is_not_understood_cuts_that_line_only(
    line: bytes, short_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with desk(short_folder) as scene:
        good, bad = await scene.daemon(), await scene.daemon()
        await hears(good)
        await bad.send(line)
        await bad.rest()
        scene.desk.came(1, 0)
        assert await hears(good) == TuiCame(1, 0)
        await bad.close()
        await good.close()
    assert "not understood" in caplog.text


async def test_a_daemon_that_does_not_listen_is_cut_and_takes_no_memory(
    short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "BACKLOG_LIMIT", 50_000)
    async with desk(short_folder) as scene:
        daemon = await scene.daemon()
        await hears(daemon)
        daemon.reader._transport.pause_reading()  # type: ignore[attr-defined]
        for number in range(5_000):
            scene.desk.came(number, 10**9)
            scene.desk.left(number)
        async with asyncio.timeout(PATIENCE):
            while not scene.quiet():
                scene.happened.clear()
                await scene.happened.wait()
        await daemon.close()


async def test_it_is_quiet_only_without_tuis_and_without_daemons(short_folder: Path) -> None:
    async with desk(short_folder) as scene:
        assert scene.quiet()
        scene.desk.came(1, 0)
        assert not scene.quiet()
        daemon = await scene.daemon()
        await hears(daemon)
        scene.desk.left(1)
        assert not scene.quiet()
        await daemon.close()
