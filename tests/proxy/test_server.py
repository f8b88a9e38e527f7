import asyncio
import contextlib
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from agentbridged.children.liveness import identify
from agentbridged.children.record import Record, save
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
from tests.proxy.scene import PATIENCE, AppServer, End, answers, app_server, asks, frame, tui

pytestmark = pytest.mark.realtime
MEGABYTE = 1024 * 1024
SERVER = """
import socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
print("up", flush=True)
while True:
    one, _ = listener.accept()
    one.recv(1)
    one.close()
"""
"""Stands for an app-server that has one client at a time."""


class RunningProxy:
    """The real program, and the daemon's end of its link."""

    def __init__(self, folder: Path, process: asyncio.subprocess.Process) -> None:
        self.codex_socket, self.link_socket = folder / "c", folder / "l"
        self.process = process
        self.daemon: End
        self.heard: list[FromProxy] = []

    async def hears(self) -> FromProxy:
        async with asyncio.timeout(PATIENCE):
            self.heard.append(decode_from_proxy(await self.daemon.reader.readline()))
        return self.heard[-1]

    async def link(self) -> Hello:
        """Be the daemon, as soon as the proxy listens."""
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    self.daemon = await End.connect(self.link_socket)
                    hello = decode_from_proxy(await self.daemon.reader.readline())
                except (OSError, ValueError):
                    assert self.process.returncode is None, "the proxy ended"
                    await asyncio.to_thread(lambda: None)
                    continue
                assert isinstance(hello, Hello)
                return hello

    async def link_as(self, generation: int) -> None:
        """Link, but not with one that hangs or is older: its name leads elsewhere soon."""
        async with asyncio.timeout(PATIENCE):
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        if (await self.link()).generation == generation:
                            return

    async def serve(self, server: AppServer) -> None:
        """Name the app-server."""
        await self.daemon.send(encode(Upstream(str(server.path), 1)))

    async def ended(self) -> int:
        async with asyncio.timeout(PATIENCE):
            return await self.process.wait()


@asynccontextmanager
async def proxy(folder: Path, generation: int = 1, *more: str) -> AsyncIterator[RunningProxy]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agentbridged.proxy", "--codex-socket", str(folder / "c")),
        *("--link-socket", str(folder / "l"), "--generation", str(generation), *more),
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parent.parent.parent,
    )
    running = RunningProxy(folder, process)
    try:
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
        await End.close_all()


async def attached(running: RunningProxy, server: AppServer) -> tuple[End, End]:
    """Bring a TUI through the proxy; return both outer ends."""
    async with asyncio.TaskGroup() as tasks:
        coming = tasks.create_task(tui(running.codex_socket))
        upstream = await server.accepts()
    return coming.result(), upstream


@pytest.mark.requirement("C1")
async def test_tuis_are_served_side_by_side_and_the_daemon_hears_of_each(
    short_folder: Path,
) -> None:
    async with app_server(short_folder / "s") as server, proxy(short_folder, 5) as running:
        hello = await running.link()
        assert (hello.pid, hello.generation) == (running.process.pid, 5)
        await running.serve(server)
        for number, thread in ((1, "t1"), (2, "t2")):
            client, upstream = await attached(running, server)
            assert await running.hears() == TuiCame(number, os.getpid())
            await client.send(asks("thread/start", 1))
            await upstream.read(len(asks("thread/start", 1)))
            await upstream.send(answers(1, thread))
            await client.read(len(answers(1, thread)))
            assert await running.hears() == TuiShows(number, thread)
            if number == 1:
                first = client
        await first.close()
        assert await running.hears() == TuiLeft(1)
        await client.send(b"still")
        assert await upstream.read(5) == b"still"
        await client.close()


async def test_the_sockets_are_private_and_no_tcp_port_is_open(short_folder: Path) -> None:
    async with proxy(short_folder) as running:
        await running.link()
        for path in (running.codex_socket, running.link_socket):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert psutil.Process(running.process.pid).net_connections("inet") == []


async def test_memory_stays_flat_under_huge_frames_and_a_slow_reader(short_folder: Path) -> None:
    big = frame(b"x" * 12_000_000)
    async with app_server(short_folder / "s") as server, proxy(short_folder) as running:
        await running.link()
        await running.serve(server)
        client, upstream = await attached(running, server)
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]
        before = psutil.Process(running.process.pid).memory_info().rss
        most = before

        async def measured_reading() -> None:
            nonlocal most
            client.reader._transport.resume_reading()  # type: ignore[attr-defined]
            got = 0
            while got < 5 * len(big):
                got += len(await client.read(min(1_000_000, 5 * len(big) - got)))
                most = max(most, psutil.Process(running.process.pid).memory_info().rss)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(5):
                upstream.writer.write(big)
            # The kernel's buffers are full, and the proxy holds what it read: the worst moment.
            await client.send(frame(b"the other way is free"))
            await upstream.read(23)
            most = max(most, psutil.Process(running.process.pid).memory_info().rss)
            tasks.create_task(measured_reading())
        assert most - before < 4 * MEGABYTE
        await client.close()


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "Shutdown"])
async def test_an_end_closes_the_tuis_with_1001_and_leaves_no_sockets(
    how: str, short_folder: Path
) -> None:
    async with app_server(short_folder / "s") as server, proxy(short_folder) as running:
        await running.link()
        await running.serve(server)
        client, _ = await attached(running, server)
        await running.hears()
        if how == "Shutdown":
            await running.daemon.send(encode(Shutdown()))
        else:
            running.process.send_signal(signal.Signals[how])
        said = await client.rest()
        assert said[0] == 0x88
        assert said[2:4] == (1001).to_bytes(2, "big")
        assert await running.hears() == TuiLeft(1)
        assert await running.ended() == 0
        assert not running.codex_socket.exists()
        assert not running.link_socket.exists()
        stderr = await running.process.stderr.read() if running.process.stderr else b""
        assert b"Traceback" not in stderr
        await client.close()


async def test_it_outlives_the_daemon_and_tells_the_next_one_all(short_folder: Path) -> None:
    async with app_server(short_folder / "s") as server, proxy(short_folder) as running:
        await running.link()
        await running.serve(server)
        client, upstream = await attached(running, server)
        await running.daemon.close()
        await client.send(b"alone")
        assert await upstream.read(5) == b"alone"
        await running.link()
        assert await running.hears() == TuiCame(1, os.getpid())
        await client.close()


async def test_without_daemon_and_tui_it_ends_by_itself_and_not_before(
    short_folder: Path,
) -> None:
    async with (
        app_server(short_folder / "s") as server,
        proxy(short_folder, 1, "--idle-exit", "0.3") as running,
    ):
        await running.link()
        await running.serve(server)
        client, upstream = await attached(running, server)
        await running.daemon.close()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.6):
                await running.process.wait()
        await client.close()
        await upstream.close()
        assert await running.ended() == 0


async def test_the_app_server_of_a_daemon_that_is_gone_ends_with_it_but_not_under_a_client(
    short_folder: Path,
) -> None:
    record = short_folder / "r"
    more = ("--idle-exit", "0.3", "--app-server-record", str(record))
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVER, str(short_folder / "s"), stdout=asyncio.subprocess.PIPE
    )
    assert server.stdout is not None
    assert await server.stdout.readline() == b"up\n"
    known = identify(server.pid)
    assert known is not None
    save(record, Record(pid=known.pid, create_time=known.create_time, generation=1))
    plain = await End.connect(short_folder / "s")
    async with proxy(short_folder, 1, *more) as running:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5):
                await running.process.wait()
        assert server.returncode is None
        await plain.close()
        assert await running.ended() == 0
        async with asyncio.timeout(PATIENCE):
            assert await server.wait() == -signal.SIGTERM


@pytest.mark.requirement("C4")
async def test_a_newer_generation_takes_over_and_an_older_one_is_refused(
    short_folder: Path,
) -> None:
    async with proxy(short_folder, 2) as second:
        await second.link()
        async with proxy(short_folder, 1) as first:
            assert await first.ended() == 1
            assert first.process.stderr is not None
            said = (await first.process.stderr.read()).decode()
            assert said.splitlines()[-1].startswith("agentbridged.proxy: generation 2 ")
            assert "Traceback" not in said
        async with proxy(short_folder, 3) as third:
            assert await second.ended() == 0
            assert (await third.link()).generation == 3
            assert third.codex_socket.exists()


@pytest.mark.slow
async def test_a_hung_older_generation_loses_its_sockets(short_folder: Path) -> None:
    async with proxy(short_folder, 1) as first:
        await first.link()
        first.process.send_signal(signal.SIGSTOP)
        async with proxy(short_folder, 2) as second:
            await second.link_as(2)


async def test_what_a_killed_proxy_left_behind_is_no_obstacle(short_folder: Path) -> None:
    async with proxy(short_folder, 1) as first:
        await first.link()
        first.process.kill()
        await first.ended()
        assert first.codex_socket.exists()
    async with proxy(short_folder, 2) as second:
        assert (await second.link()).generation == 2


async def test_a_strangers_socket_is_not_taken_over(short_folder: Path) -> None:
    async with app_server(short_folder / "c"), proxy(short_folder) as running:
        assert await running.ended() == 1
        assert running.process.stderr is not None
        assert "is already served by" in (await running.process.stderr.read()).decode()


async def test_a_probe_of_the_socket_is_no_tui(short_folder: Path) -> None:
    async with app_server(short_folder / "s") as server, proxy(short_folder) as running:
        await running.link()
        await running.serve(server)
        await (await End.connect(running.codex_socket)).close()
        client, _ = await attached(running, server)
        assert await running.hears() == TuiCame(2, os.getpid())
        await client.close()


@pytest.mark.requirement("C2")
@pytest.mark.skipif(sys.platform != "linux", reason="needs prlimit(2)")
async def test_with_file_descriptors_used_up_it_serves_on_when_there_are_some_again(
    short_folder: Path,
) -> None:
    async with app_server(short_folder / "s") as server, proxy(short_folder) as running:
        await running.link()
        await running.serve(server)
        process = psutil.Process(running.process.pid)
        soft, hard = process.rlimit(psutil.RLIMIT_NOFILE)
        process.rlimit(psutil.RLIMIT_NOFILE, (process.num_fds(), hard))
        waiting = await End.connect(running.codex_socket)
        process.rlimit(psutil.RLIMIT_NOFILE, (soft, hard))
        client, _ = await attached(running, server)
        await client.close()
        await waiting.close()
