"""The client against a real door, and against sockets that misbehave."""

import asyncio
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agentbridged.admin.client import AdminClient
from agentbridged.errors import (
    AgentBridgeError,
    ConnectionLost,
    DaemonNotRunning,
    DaemonSilent,
    ProtocolError,
    Refused,
    Unavailable,
)
from agentbridged.wire import admin as wire
from tests.admin.desk import served

pytestmark = pytest.mark.realtime


async def in_thread(work: Callable[[], Any]) -> Any:
    return await asyncio.wait_for(asyncio.to_thread(work), 30)


@contextmanager
def door(directory: Path, behave: Callable[[socket.socket], object]) -> Iterator[Path]:
    """A socket on which one connection gets this behaviour."""
    path = directory / "admin.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                behave(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield path
        thread.join(30)


async def test_a_call_is_answered_with_what_was_asked_for(tmp_path: Path) -> None:
    async with served(tmp_path) as desk:
        desk.store.ensure_bridge("a-1", "/a")

        def work() -> None:
            with AdminClient(tmp_path / "admin.sock") as client:
                answer = client.call_as(dict[str, Any], "status")
                assert answer["pid"] == os.getpid()
                switched = client.call_as(
                    wire.SwitchedBridges, "bridge.kill", wire.SwitchParams(bridge="a-1")
                )
                assert switched.bridges[0].state == "killed"
                with pytest.raises(Refused) as refused:
                    client.call("message.explain", {"id": "ab-none"})
                assert refused.value.kind == "unknown_message"
                with pytest.raises(ProtocolError, match="no 'nonsense'"):
                    client.call("nonsense")
                desk.fault = ZeroDivisionError()
                with pytest.raises(AgentBridgeError, match="agentbridgectl logs"):
                    client.call("status")

        await in_thread(work)


async def test_news_are_read_as_they_come_and_none_is_lost_between_calls(tmp_path: Path) -> None:
    async with served(tmp_path) as desk:
        loop = asyncio.get_running_loop()

        def work() -> list[str]:
            with AdminClient(tmp_path / "admin.sock") as client:
                client.call("events.subscribe")
                loop.call_soon_threadsafe(desk.tell, "one", {})
                client.call("status")
                loop.call_soon_threadsafe(desk.tell, "two", {})
                news = client.news()
                return [next(news).method, next(news).method]

        assert await in_thread(work) == ["one", "two"]


def test_a_daemon_that_is_not_there_is_named_and_how_to_start_it(tmp_path: Path) -> None:
    with pytest.raises(DaemonNotRunning, match="start it with"):
        AdminClient(tmp_path / "admin.sock")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead.sock"))
    with pytest.raises(DaemonNotRunning, match=r"dead\.sock"):
        AdminClient(tmp_path / "dead.sock")


def test_a_path_that_cannot_be_connected_to_says_why(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="Not a directory"):
        AdminClient(Path("/dev/null/admin.sock"))
    with pytest.raises(Unavailable, match="too long"):
        AdminClient(tmp_path / ("x" * 120) / "admin.sock")


def test_a_daemon_that_says_nothing_is_silent(tmp_path: Path) -> None:
    done = threading.Event()
    with door(tmp_path, lambda _: done.wait(30)) as path:
        with (
            AdminClient(path, timeout=0.05) as client,
            pytest.raises(DaemonSilent, match=r"0\.05 s"),
        ):
            client.call("status")
        done.set()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full backlog refuses at once")
def test_a_daemon_that_does_not_accept_is_silent(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(0)
        with AdminClient(path, timeout=0.05), pytest.raises(DaemonSilent, match="nobody accepts"):
            AdminClient(path, timeout=0.05)


def test_a_daemon_that_reads_nothing_is_silent(tmp_path: Path) -> None:
    done = threading.Event()
    with door(tmp_path, lambda _: done.wait(30)) as path:
        with AdminClient(path, timeout=0.05) as client, pytest.raises(DaemonSilent):
            client.call("message.send", {"text": "x" * 3_000_000})
        done.set()


def test_a_connection_that_ends_before_the_answer_is_lost(tmp_path: Path) -> None:
    with (
        door(tmp_path, lambda c: c.recv(10)) as path,
        AdminClient(path) as client,
        pytest.raises(ConnectionLost, match="before it answered"),
    ):
        client.call("status")


def test_an_answer_in_pieces_is_put_together(tmp_path: Path) -> None:
    def behave(connection: socket.socket) -> None:
        connection.recv(10_000)
        for byte in b'{"method":"hm"}\n{"jsonrpc":"2.0","id":1,"result":{"a":"\xe2\x82\xac"}}\n':
            connection.sendall(bytes([byte]))

    with door(tmp_path, behave) as path, AdminClient(path) as client:
        assert client.call_as(dict[str, str], "status") == {"a": "\N{EURO SIGN}"}


def test_an_answer_of_another_version_is_named(tmp_path: Path) -> None:
    def behave(connection: socket.socket) -> None:
        connection.recv(10_000)
        connection.sendall(b'{"id":1,"result":{"messages":7}}\n')

    with (
        door(tmp_path, behave) as path,
        AdminClient(path) as client,
        pytest.raises(ProtocolError, match="another version"),
    ):
        client.call_as(wire.Messages, "message.list")
