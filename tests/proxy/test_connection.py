import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agentbridged.proxy import connection as subject
from agentbridged.proxy.connection import Connection
from agentbridged.proxy.upstreams import Upstreams
from tests.proxy.scene import (
    MASK,
    OWN_HEADER,
    REQUEST,
    AppServer,
    End,
    Heard,
    answers,
    app_server,
    asks,
    frame,
    socket_pair,
)

pytestmark = pytest.mark.realtime


class Scene:
    """One connection under test, the TUI's end of it, and an app-server that may be reached."""

    def __init__(self, tui: End, server: AppServer, upstreams: Upstreams) -> None:
        self.tui, self.server, self.upstreams = tui, server, upstreams
        self.news = Heard()
        self.connection: Connection

    def app_server_is_there(self) -> None:
        self.upstreams.move(str(self.server.path))


@asynccontextmanager
async def connected(folder: Path, *, there: bool = True) -> AsyncIterator[Scene]:
    """A TUI has connected; its connection is served to its end after the block."""
    async with app_server(folder / "s") as server, asyncio.timeout(60):
        outer, client = socket_pair()
        tui = End(*await asyncio.open_unix_connection(sock=outer))
        scene = Scene(tui, server, Upstreams())
        if there:
            scene.app_server_is_there()
        scene.connection = Connection(7, client, 4242, upstreams=scene.upstreams, news=scene.news)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(scene.connection.run())
                yield scene
                await tui.close()
                for end in server.ends:
                    await end.close()
        finally:
            await tui.close()


async def test_the_handshake_is_passed_on_thinned_and_answered_verbatim(
    short_folder: Path,
) -> None:
    async with connected(short_folder) as scene:
        await scene.tui.send(REQUEST)
        server = await scene.server.accepts()
        head = await scene.tui.head()
        assert OWN_HEADER in head
        assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
        await scene.tui.send(asks("thread/start", 1))
        await server.read(len(asks("thread/start", 1)))
        await server.send(answers(1, "t1"))
        await scene.tui.read(len(answers(1, "t1")))
        await scene.tui.close()
        await scene.news.until("left", 7)
    assert scene.news.all == [("came", 7, 4242), ("shows", 7, "t1"), ("left", 7)]


async def test_what_comes_right_behind_a_head_is_not_lost(short_folder: Path) -> None:
    async with connected(short_folder) as scene:
        await scene.tui.send(REQUEST + frame(b"early", mask=MASK))
        server = await scene.server.came()
        request = await server.head()
        assert b"Origin" not in request
        assert b"Bearer secret" in request
        await server.send(b"HTTP/1.1 101 X\r\n\r\n" + frame(b"at once"))
        assert await scene.tui.head() == b"HTTP/1.1 101 X\r\n\r\n"
        assert await scene.tui.read(9) == frame(b"at once")
        assert await server.read(11) == frame(b"early", mask=MASK)


async def test_a_handshake_may_come_byte_by_byte(short_folder: Path) -> None:
    async with connected(short_folder) as scene:
        for one in REQUEST:
            await scene.tui.send(bytes((one,)))
        await scene.server.accepts()
        await scene.tui.head()


async def test_a_refusal_of_the_app_server_is_passed_on_whole(short_folder: Path) -> None:
    refusal = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno"
    async with connected(short_folder) as scene:
        await scene.tui.send(REQUEST)
        server = await scene.server.came()
        await server.head()
        await server.send(refusal)
        await server.close()
        assert await scene.tui.rest() == refusal


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01hello", b"400"),
        (b'{"id":1}\n', b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"426"),
        (b"GET /" + b"x" * 20_000, b"431"),
    ],
)
async def test_wrong_bytes_instead_of_a_handshake_are_answered_and_are_no_tui(
    sent: bytes, status: bytes, short_folder: Path
) -> None:
    async with connected(short_folder) as scene:
        await scene.tui.send(sent)
        assert (await scene.tui.rest()).startswith(b"HTTP/1.1 " + status)
    assert scene.news.all == []


async def test_a_client_that_says_nothing_is_not_waited_for_for_ever(
    short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "HANDSHAKE_PATIENCE", 0.05)
    async with connected(short_folder) as scene:
        await scene.tui.send(b"GET ")
        assert (await scene.tui.rest()).startswith(b"HTTP/1.1 408")


@pytest.mark.requirement("C3")
async def test_a_tui_waits_for_an_app_server_and_its_words_arrive_in_order(
    short_folder: Path,
) -> None:
    words = [frame(b"one", mask=MASK), frame(b"x" * 100_000, mask=MASK), frame(b"3", mask=MASK)]
    async with connected(short_folder, there=False) as scene:
        await scene.tui.send(REQUEST)
        await scene.news.until("came", 7, 4242)
        for word in words:
            await scene.tui.send(word)
        scene.app_server_is_there()
        server = await scene.server.accepts()
        assert await server.read(sum(map(len, words))) == b"".join(words)
        await scene.tui.head()


@pytest.mark.requirement("C3")
async def test_without_an_app_server_the_tui_is_closed_with_1001_in_time(
    short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "UPSTREAM_PATIENCE", 0.05)
    async with connected(short_folder, there=False) as scene:
        await scene.tui.send(REQUEST)
        head = await scene.tui.head()
        assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
        said = await scene.tui.rest()
        assert said[0] == 0x88
        assert said[2:4] == (1001).to_bytes(2, "big")
        assert said[4:] == b"the Codex app-server is away; try again"


@pytest.mark.requirement("C3")
async def test_an_app_server_that_never_answers_the_handshake_counts_as_away(
    short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "UPSTREAM_PATIENCE", 0.3)
    async with connected(short_folder) as scene:
        await scene.tui.send(REQUEST)
        server = await scene.server.came()
        await scene.tui.head()
        assert (await scene.tui.rest())[2:4] == (1001).to_bytes(2, "big")
        await server.rest()


@pytest.mark.requirement("C3")
async def test_a_tui_that_talks_too_much_while_it_waits_is_closed(
    short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "EARLY_LIMIT", 10_000)
    async with connected(short_folder, there=False) as scene:
        await scene.tui.send(REQUEST)
        await scene.news.until("came", 7, 4242)
        await scene.tui.send(b"x" * 10_001)
        await scene.tui.head()
        assert b"too much" in await scene.tui.rest()


@pytest.mark.requirement("C2")
async def test_a_client_gone_before_its_upstream_opened_leaves_nothing_behind(
    short_folder: Path,
) -> None:
    async with connected(short_folder) as scene:
        await scene.tui.send(REQUEST)
        server = await scene.server.came()
        await server.head()
        await scene.tui.close()
        assert await server.rest() == b""
        await scene.news.until("left", 7)


@pytest.mark.requirement("C2")
async def test_a_client_gone_while_there_is_no_upstream_opens_none(short_folder: Path) -> None:
    async with connected(short_folder, there=False) as scene:
        await scene.tui.send(REQUEST)
        await scene.news.until("came", 7, 4242)
        await scene.tui.close()
        await scene.news.until("left", 7)
        scene.app_server_is_there()
        assert scene.server.ends == []


@pytest.mark.requirement("C3")
async def test_an_upstream_that_dies_before_it_answers_is_replaced(short_folder: Path) -> None:
    async with connected(short_folder) as scene:
        await scene.tui.send(REQUEST)
        await (await scene.server.came()).close()
        server = await scene.server.accepts()
        await scene.tui.head()
        await server.send(frame(b"here"))
        assert await scene.tui.read(6) == frame(b"here")


@pytest.mark.parametrize("sent", [b"", b"GET", REQUEST])
async def test_an_ending_proxy_lets_go_of_a_connection_that_still_waits(
    sent: bytes, short_folder: Path
) -> None:
    async with connected(short_folder, there=False) as scene:
        if sent:
            await scene.tui.send(sent)
        if sent == REQUEST:
            await scene.news.until("came", 7, 4242)
        else:
            await asyncio.to_thread(lambda: None)
        scene.connection.go_away("moving")
        await scene.tui.rest()


@pytest.mark.requirement("C1")
async def test_a_fault_of_ours_ends_this_connection_only(
    short_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(head: bytes) -> None:
        raise KeyError("ours")

    monkeypatch.setattr(subject, "read_request", broken)
    async with connected(short_folder) as scene:
        await scene.tui.send(REQUEST)
        assert await scene.tui.rest() == b""
    assert "given up" in caplog.text


@pytest.mark.requirement("C3")
def test_the_waits_are_shorter_than_what_a_tui_endures() -> None:
    assert subject.UPSTREAM_PATIENCE < 10
