import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from agentbridged.proxy import relay
from agentbridged.proxy.relay import BUFFER, Relay
from agentbridged.proxy.tap import Tap
from tests.proxy.scene import MASK, PATIENCE, End, answers, asks, frame, socket_pair

pytestmark = pytest.mark.realtime
BIG = 12_000_000


class Scene:
    """A relay between two socket pairs, of which a test holds the outer ends."""

    def __init__(self, client: End, server: End, relaying: Relay) -> None:
        self.client, self.server, self.relay = client, server, relaying
        self.threads: list[str] = []
        self.faults: list[str] = []
        self.left = 0


@asynccontextmanager
async def relayed(*, followed: bool = True) -> AsyncIterator[Scene]:
    """Relay within the block, and to the end of both sides after it."""
    tui, client = socket_pair()
    server, upstream = socket_pair()
    ends = [End(*await asyncio.open_unix_connection(sock=s)) for s in (tui, server)]

    def left() -> None:
        scene.left += 1

    tap = Tap(lambda t: scene.threads.append(t), lambda f: scene.faults.append(f))
    relaying = Relay(client, upstream, tap=tap if followed else None, client_left=left)
    scene = Scene(ends[0], ends[1], relaying)

    async def serve(client: socket.socket, upstream: socket.socket) -> None:
        with client, upstream:
            await relaying.run(b"", b"")

    try:
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            tasks.create_task(serve(client, upstream))
            yield scene
            for end in ends:
                await end.close()
    finally:
        for end in ends:
            await end.close()


async def test_bytes_pass_verbatim_both_ways_whatever_they_are() -> None:
    async with relayed() as scene:
        await scene.client.send(b"\x00\xffanything\r\n")
        assert await scene.server.read(12) == b"\x00\xffanything\r\n"
        await scene.server.send(b"\xfe" * 1000)
        assert await scene.client.read(1000) == b"\xfe" * 1000
        assert len(scene.faults) == 1


async def test_a_frame_of_twelve_megabytes_passes_unchanged() -> None:
    big = frame(bytes(range(256)) * (BIG // 256))
    async with relayed() as scene, asyncio.TaskGroup() as tasks:
        tasks.create_task(scene.server.send(big))
        assert await scene.client.read(len(big)) == big


async def test_one_byte_at_a_time_passes_and_is_understood() -> None:
    async with relayed() as scene:
        for one in asks("thread/start", 1):
            await scene.client.send(bytes((one,)))
            assert await scene.server.read(1) == bytes((one,))
        for one in answers(1, "t1"):
            await scene.server.send(bytes((one,)))
            assert await scene.client.read(1) == bytes((one,))
        assert scene.threads == ["t1"]


async def test_a_slow_reader_holds_up_its_writer_and_not_our_memory() -> None:
    big = frame(b"x" * BIG)
    async with relayed() as scene, asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(scene.server.send(big))
        async with asyncio.timeout(PATIENCE):
            while not scene.relay._down.rest:
                await asyncio.to_thread(lambda: None)
        got = 0
        while got < len(big):
            assert len(scene.relay._down.rest) <= BUFFER
            got += len(await scene.client.read(min(500_000, len(big) - got)))
        assert not sending.cancelled()


async def test_the_other_direction_goes_on_while_one_is_held_up() -> None:
    big = frame(b"x" * BIG)
    async with relayed() as scene, asyncio.TaskGroup() as tasks:
        tasks.create_task(scene.server.send(big))
        async with asyncio.timeout(PATIENCE):
            while not scene.relay._down.rest:
                await asyncio.to_thread(lambda: None)
        await scene.client.send(frame(b"still here", mask=MASK))
        await scene.server.read(16)
        await scene.client.read(len(big))


async def test_a_tui_that_leaves_is_told_and_its_last_words_arrive() -> None:
    async with relayed() as scene:
        await scene.client.send(frame(b"last", mask=MASK))
        await scene.client.close()
        assert await scene.server.rest() == frame(b"last", mask=MASK)
        assert scene.left == 1


async def test_a_half_closed_tui_still_gets_what_was_on_its_way() -> None:
    async with relayed() as scene:
        scene.client.half_close()
        assert await scene.server.rest() == b""
        await scene.server.send(frame(b"answer"))
        await scene.server.close()
        assert (await scene.client.rest()).startswith(frame(b"answer"))


@pytest.mark.requirement("C2")
async def test_a_half_closed_connection_does_not_stay_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay, "GRACE", 0.05)
    async with relayed() as scene:
        scene.client.half_close()
        assert await scene.client.rest() == b""


@pytest.mark.requirement("C2")
async def test_an_app_server_that_goes_between_frames_closes_the_tui_with_1001() -> None:
    async with relayed() as scene:
        await scene.server.send(frame(b"whole"))
        await scene.server.close()
        said = await scene.client.rest()
        assert said.startswith(frame(b"whole") + b"\x88")
        assert said[len(frame(b"whole")) + 2 :][:2] == (1001).to_bytes(2, "big")


@pytest.mark.requirement("C2")
async def test_an_app_server_that_goes_within_a_frame_just_ends_the_stream() -> None:
    part = frame(b"x" * 1000)[:500]
    async with relayed() as scene:
        await scene.server.send(part)
        await scene.server.close()
        assert await scene.client.rest() == part


async def test_a_close_frame_of_the_app_servers_own_is_not_followed_by_ours() -> None:
    async with relayed() as scene:
        await scene.server.send(b"\x88\x02\x03\xe8")
        await scene.server.close()
        assert await scene.client.rest() == b"\x88\x02\x03\xe8"


async def test_no_frame_of_ours_gets_into_a_stream_that_is_no_websocket() -> None:
    async with relayed(followed=False) as scene:
        await scene.server.send(b"HTTP body")
        await scene.server.close()
        assert await scene.client.rest() == b"HTTP body"


async def test_an_ending_proxy_tells_the_tui_to_reconnect() -> None:
    async with relayed() as scene:
        await scene.server.send(frame(b"whole"))
        await scene.client.read(7)
        scene.relay.go_away("moving")
        assert await scene.client.rest() == b"\x88\x08\x03\xe9moving"
        assert await scene.server.rest() == b""


@pytest.mark.requirement("C2")
async def test_a_tui_that_vanishes_while_it_is_written_to_ends_the_relay() -> None:
    async with relayed() as scene, asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(scene.server.send(frame(b"x" * BIG)))
        async with asyncio.timeout(PATIENCE):
            while not scene.relay._down.rest:
                await asyncio.to_thread(lambda: None)
        await scene.client.close()
        await asyncio.wait([sending])
        assert scene.left == 1
        assert await scene.server.rest() == b""
