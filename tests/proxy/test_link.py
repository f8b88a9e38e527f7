import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agentbridged.proxy import link as subject
from agentbridged.proxy.link import ProxyLink
from agentbridged.wire.link import (
    FromProxy,
    Hello,
    Shutdown,
    TuiCame,
    Upstream,
    decode_from_daemon,
    encode,
)
from tests.proxy.scene import PATIENCE, AppServer, End, app_server

pytestmark = pytest.mark.realtime
HELLO = Hello(pid=1, generation=1, version="0")


class Scene:
    """A link, and a listener in the proxy's place."""

    def __init__(self, proxy: AppServer) -> None:
        self.proxy = proxy
        self.heard: list[FromProxy] = []
        self.lost = 0
        self.news = asyncio.Event()
        self.link = ProxyLink(proxy.path, self.hear, lost=self.lose)

    def hear(self, message: FromProxy) -> None:
        self.heard.append(message)
        self.news.set()

    def lose(self) -> None:
        self.lost += 1
        self.news.set()

    async def until(self, count: int, lost: int = 0) -> None:
        async with asyncio.timeout(PATIENCE):
            while len(self.heard) < count or self.lost < lost:
                self.news.clear()
                await self.news.wait()


@asynccontextmanager
async def linked(folder: Path) -> AsyncIterator[Scene]:
    async with app_server(folder / "p") as proxy, asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        scene = Scene(proxy)
        running = tasks.create_task(scene.link.run())
        yield scene
        running.cancel()


async def told(proxy: End) -> object:
    async with asyncio.timeout(PATIENCE):
        return decode_from_daemon(await proxy.reader.readline())


async def test_what_the_proxy_says_is_heard_and_what_it_is_told_arrives(
    short_folder: Path,
) -> None:
    async with linked(short_folder) as scene:
        proxy = await scene.proxy.came()
        await proxy.send(encode(HELLO) + encode(TuiCame(1, 2)))
        await scene.until(2)
        assert scene.heard == [HELLO, TuiCame(1, 2)]
        assert scene.link.connected
        scene.link.tell(Upstream("/a", 1))
        scene.link.tell(Shutdown())
        assert [await told(proxy), await told(proxy)] == [Upstream("/a", 1), Shutdown()]


async def test_a_new_line_is_told_the_last_upstream_and_nothing_older(short_folder: Path) -> None:
    async with linked(short_folder) as scene:
        scene.link.tell(Upstream("/a", 1))
        scene.link.tell(Shutdown())
        scene.link.tell(Upstream("/b", 2))
        first = await scene.proxy.came()
        assert await told(first) == Upstream("/b", 2)
        await first.send(encode(HELLO))
        await scene.until(1)
        await first.close()
        await scene.until(1, lost=1)
        assert not scene.link.connected
        second = await scene.proxy.came()
        assert await told(second) == Upstream("/b", 2)
        await second.send(encode(HELLO))
        await scene.until(2)


async def test_nonsense_cuts_the_line_and_it_is_tried_again(
    short_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with linked(short_folder) as scene:
        await (await scene.proxy.came()).send(b"garbage\n")
        await (await scene.proxy.came()).send(encode(HELLO))
        await scene.until(1)
        assert scene.lost == 0
    assert "cut" in caplog.text


async def test_a_nudge_ends_the_waiting_for_a_proxy_that_was_away(
    short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "BACKOFF", (1000.0,))
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        proxy = AppServer(short_folder / "p")
        scene = Scene(proxy)
        running = tasks.create_task(scene.link.run())
        await asyncio.to_thread(lambda: None)
        await proxy.open()
        scene.link.nudge()
        await (await proxy.came()).send(encode(HELLO))
        await scene.until(1)
        running.cancel()
    await proxy.close()
