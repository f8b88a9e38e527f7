"""The admin door on a real socket: one answer a line, whatever comes."""

import asyncio
import contextlib
import json
import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from agentbridged import peercred
from agentbridged.admin import server as admin_server
from agentbridged.admin.server import AdminServer
from agentbridged.errors import ConfigError, Refused
from agentbridged.store import Store
from agentbridged.wire.admin import LINE_LIMIT
from tests.admin.desk import SmallDesk, served

pytestmark = pytest.mark.realtime
BOUND = 30.0


class Line:
    """A raw connection to the door."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def hear(self) -> dict[str, Any]:
        line = await asyncio.wait_for(self.reader.readline(), BOUND)
        assert line.endswith(b"\n"), "the door closed the connection"
        answer: dict[str, Any] = json.loads(line)
        assert answer["jsonrpc"] == "2.0"
        return answer

    async def ask(self, method: str, params: Any = None, id: Any = 1) -> dict[str, Any]:
        call = {"jsonrpc": "2.0", "id": id, "method": method}
        await self.say(json.dumps(call | ({} if params is None else {"params": params})).encode())
        await self.say(b"\n")
        return await self.hear()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


async def connect(directory: Path) -> Line:
    return Line(*await asyncio.open_unix_connection(str(directory / "admin.sock")))


async def ended(line: Line) -> bool:
    """Wait for the door's end of the connection to close."""
    with contextlib.suppress(ConnectionResetError):
        return await asyncio.wait_for(line.reader.read(), BOUND) == b""
    return True


Transcript = Callable[[SmallDesk, Line], Awaitable[None]]


async def with_line(directory: Path, transcript: Transcript) -> None:
    async with served(directory) as desk:
        line = await connect(directory)
        try:
            await transcript(desk, line)
        finally:
            await line.close()


async def test_the_socket_is_private_and_gone_after_closing(tmp_path: Path) -> None:
    async with served(tmp_path):
        assert stat.S_IMODE((tmp_path / "admin.sock").stat().st_mode) == 0o600
    assert not (tmp_path / "admin.sock").exists()


async def test_a_second_door_on_the_same_path_is_refused(tmp_path: Path) -> None:
    async with served(tmp_path) as desk:
        with pytest.raises(Refused, match=str(os.getpid())):
            await AdminServer(tmp_path / "admin.sock", desk).start()


async def test_a_socket_that_was_given_is_served_and_stays_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    store = Store(tmp_path / "db")
    with peercred.listen_private(path) as managers, contextlib.closing(store):
        door = AdminServer(path, SmallDesk(store), managers.dup())
        await door.start()
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b'{"jsonrpc":"2.0","id":1,"method":"status"}\n')
        assert json.loads(await reader.readline())["id"] == 1
        writer.close()
        await door.close()
        assert peercred.is_listening(path) is not None


async def test_an_id_comes_back_as_it_was_given(tmp_path: Path) -> None:
    async def transcript(desk: SmallDesk, line: Line) -> None:
        for id in (7, "7", 0, ""):
            answer = await line.ask("status", id=id)
            assert answer["id"] == id
            assert answer["result"]["pid"] == os.getpid()

    await with_line(tmp_path, transcript)


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        (b"garbage", -32700, "not JSON"),
        (b"\xff\xfe\x00", -32700, "not JSON"),
        (b'{"jsonrpc":"2.0","id":1,"method":"sta', -32700, "not JSON"),
        (b'"text"', -32600, "object"),
        (b'[{"jsonrpc":"2.0","id":1,"method":"status"}]', -32600, "object"),
        (b'{"jsonrpc":"1.0","id":1,"method":"status"}', -32600, "jsonrpc"),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"status"}', -32600, "id"),
        (b'{"jsonrpc":"2.0","id":null,"method":"status"}', -32600, "id"),
        (b'{"jsonrpc":"2.0","method":"status"}', -32600, "id: missing"),
        (b'{"jsonrpc":"2.0","id":1,"result":{}}', -32600, "method: missing"),
        (b'{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}', -32600, "method: missing"),
        (b'{"jsonrpc":"2.0","id":1,"method":"nonsense"}', -32601, "message.send"),
        (b'{"id":1,"method":"message.send","params":{"text":7}}', -32602, "$.text"),
        (b'{"id":1,"method":"message.send","params":[]}', -32602, "object"),
        (b'{"id":1,"method":"status","params":{"verbose":true}}', -32602, "verbose"),
        (b'{"params":' + b"[" * 100_000, -32700, "deep"),
    ],
)
async def test_a_bad_line_is_answered_with_what_is_wrong_and_the_next_is_served(
    tmp_path: Path, line: bytes, code: int, words: str
) -> None:
    async def transcript(desk: SmallDesk, wire: Line) -> None:
        await wire.say(line + b"\n")
        error = (await wire.hear())["error"]
        assert error["code"] == code
        assert words in error["message"]
        assert "result" in await wire.ask("status")

    await with_line(tmp_path, transcript)


@pytest.mark.parametrize("piece", [1, 1000, LINE_LIMIT + 2])
async def test_an_endless_line_is_named_once_and_skipped(tmp_path: Path, piece: int) -> None:
    async def transcript(desk: SmallDesk, line: Line) -> None:
        await line.say(b"x" * (2 * LINE_LIMIT))
        await line.say(b"y" * piece + b"\n")
        error = (await line.hear())["error"]
        assert (error["code"], error["message"]) == (
            *(-32600, f"line: longer than {LINE_LIMIT} bytes"),
        )
        assert "result" in await line.ask("status")

    await with_line(tmp_path, transcript)


async def test_the_longest_text_fits_into_a_line(tmp_path: Path) -> None:
    async def transcript(desk: SmallDesk, line: Line) -> None:
        send = {"project_dir": str(tmp_path), "text": "\N{EURO SIGN}" * 660_000}
        assert "result" in await line.ask("message.send", send)
        send["text"] = "x" * 1_000_001
        assert "$.text" in (await line.ask("message.send", send))["error"]["message"]

    await with_line(tmp_path, transcript)


async def test_calls_that_come_in_one_piece_or_bytewise_are_answered_in_order(
    tmp_path: Path,
) -> None:
    async def transcript(desk: SmallDesk, line: Line) -> None:
        calls = b"".join(b'{"id":%d,"method":"status"}\r\n\n' % n for n in range(20))
        await line.say(calls)
        assert [(await line.hear())["id"] for _ in range(20)] == list(range(20))
        for byte in b'{"id":"slow","method":"status"}\n':
            await line.say(bytes([byte]))
        assert (await line.hear())["id"] == "slow"

    await with_line(tmp_path, transcript)


async def test_a_last_line_without_its_end_is_answered_too(tmp_path: Path) -> None:
    async def transcript(desk: SmallDesk, line: Line) -> None:
        await line.say(b'{"id":1,"method":"status"}')
        line.writer.write_eof()
        assert (await line.hear())["id"] == 1
        assert await asyncio.wait_for(line.reader.read(), BOUND) == b""

    await with_line(tmp_path, transcript)


async def test_many_clients_are_served_while_some_say_nothing_or_vanish(tmp_path: Path) -> None:
    async with served(tmp_path):
        silent = [await connect(tmp_path) for _ in range(40)]
        gone = [await connect(tmp_path) for _ in range(40)]
        for line in gone:
            await line.say(b'{"id":1,"method":"st')
            line.writer.transport.abort()
        talking = [await connect(tmp_path) for _ in range(40)]
        answers = await asyncio.gather(*(line.ask("status") for line in talking))
        assert all("result" in answer for answer in answers)
        for line in silent + talking:
            await line.close()


async def test_a_slow_verb_holds_up_nobody_else(tmp_path: Path) -> None:
    async with served(tmp_path) as desk:
        desk.stuck = asyncio.Event()
        one, two = await connect(tmp_path), await connect(tmp_path)
        async with asyncio.TaskGroup() as group:
            slow = group.create_task(one.ask("config.reload"))
            assert "result" in await two.ask("status")
            assert not slow.done()
            desk.stuck.set()
        assert slow.result()["result"] == {"changed": []}
        await one.close()
        await two.close()


async def test_closing_ends_clients_in_the_middle_of_a_call(tmp_path: Path) -> None:
    store = Store(tmp_path / "a.db")
    desk = SmallDesk(store)
    desk.stuck = asyncio.Event()
    server = AdminServer(tmp_path / "admin.sock", desk)
    await server.start()
    idle, busy = await connect(tmp_path), await connect(tmp_path)
    assert "result" in await idle.ask("status")
    await busy.say(b'{"id":1,"method":"config.reload"}\n{"id":2,"method":"status"}\n')
    async with asyncio.timeout(BOUND):
        await server.close()
        assert await ended(idle)
        assert await ended(busy)
    await server.close()
    for line in (idle, busy):
        await line.close()
    store.close()


async def test_refusals_carry_a_stable_word(tmp_path: Path) -> None:
    async def transcript(desk: SmallDesk, line: Line) -> None:
        error = (await line.ask("message.explain", {"id": "ab-none"}))["error"]
        assert (error["code"], error["data"]) == (-32000, {"kind": "unknown_message"})
        desk.fault = ConfigError("governor.max_hops", "Expected `int`")
        error = (await line.ask("status"))["error"]
        assert error["data"] == {"kind": "config", "field": "governor.max_hops"}

    await with_line(tmp_path, transcript)


async def test_a_fault_of_ours_is_logged_and_not_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def transcript(desk: SmallDesk, line: Line) -> None:
        desk.fault = ZeroDivisionError("secret inside")
        error = (await line.ask("status"))["error"]
        assert error["code"] == -32603
        assert "secret" not in error["message"]
        assert "result" in await line.ask("status")

    await with_line(tmp_path, transcript)
    assert "secret inside" in caplog.text


async def test_another_users_process_is_told_and_not_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_server, "peer_of", lambda _: peercred.Peer(os.getuid() + 1, 7))

    async def transcript(desk: SmallDesk, line: Line) -> None:
        await line.say(b'{"id":1,"method":"status"}\n')
        assert "may not use this daemon" in (await line.hear())["error"]["message"]

    await with_line(tmp_path, transcript)


# News


async def test_news_come_after_subscribing_and_between_answers(tmp_path: Path) -> None:
    async def transcript(desk: SmallDesk, line: Line) -> None:
        assert (await line.ask("events.subscribe"))["result"] == {"subscribed": True}
        desk.tell("turn", {"bridge": "a-1", "status": "idle"})
        assert await line.hear() == {
            **{"jsonrpc": "2.0", "method": "turn"},
            "params": {"bridge": "a-1", "status": "idle"},
        }
        assert "result" in await line.ask("status")
        assert len(desk.listeners) == 1
        await line.ask("events.subscribe")
        assert len(desk.listeners) == 1

    await with_line(tmp_path, transcript)


async def test_news_can_be_of_one_bridge_only(tmp_path: Path) -> None:
    async def transcript(desk: SmallDesk, line: Line) -> None:
        desk.store.ensure_bridge("a-1", "/a")
        await line.ask("events.subscribe", {"bridge": "/a"})
        desk.tell("turn", {"bridge": "b-2"})
        desk.tell("turn", {"bridge": "a-1"})
        desk.tell("child", {"state": "FATAL"})
        assert (await line.hear())["params"] == {"bridge": "a-1"}
        assert (await line.hear())["params"] == {"state": "FATAL"}

    await with_line(tmp_path, transcript)


async def test_a_listener_that_left_is_forgotten(tmp_path: Path) -> None:
    async with served(tmp_path) as desk:
        line = await connect(tmp_path)
        await line.ask("events.subscribe")
        await line.close()
        other = await connect(tmp_path)
        async with asyncio.timeout(BOUND):
            while desk.listeners:
                await other.ask("status")
        await other.close()


async def test_a_listener_that_does_not_read_is_cut_off(tmp_path: Path) -> None:
    async with served(tmp_path) as desk:
        line = await connect(tmp_path)
        await line.ask("events.subscribe")
        line.writer.transport.pause_reading()  # type: ignore[attr-defined]
        for _ in range(100):
            desk.tell("noise", {"text": "x" * 100_000})
        other = await connect(tmp_path)
        async with asyncio.timeout(BOUND):
            while desk.listeners:
                await other.ask("status")
        line.writer.transport.abort()
        await other.close()
