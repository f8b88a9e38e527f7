import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, unix_serve

from agentbridged.codex.client import AppServerClient
from agentbridged.errors import CodexError, ConnectionLost, ProtocolError, Unavailable
from agentbridged.wire import codex
from tests.codex.conftest import RealServer

pytestmark = pytest.mark.realtime


@asynccontextmanager
async def connected(path: Path) -> AsyncIterator[AppServerClient]:
    client = await AppServerClient.connect(path)
    async with asyncio.TaskGroup() as group:
        group.create_task(client.run())
        yield client
        await client.close()


@asynccontextmanager
async def misbehaving(path: Path, *answers: str | bytes) -> AsyncIterator[AppServerClient]:
    """A server that gives these frames to the first request, then keeps silent."""

    async def serve(connection: ServerConnection) -> None:
        await connection.recv()
        for answer in answers:
            await connection.send(answer)
        await connection.wait_closed()

    async with unix_serve(serve, str(path)), connected(path) as client:
        yield client


@pytest.mark.end_to_end
async def test_the_real_app_server_says_its_version_and_lists_its_threads(
    app_server: RealServer,
) -> None:
    async with connected(app_server.socket) as client:
        await client.initialize()
        assert client.version == "0.169.0"
        assert (await client.call("thread/loaded/list", {}, codex.LoadedList)).data == []


@pytest.mark.end_to_end
async def test_an_error_answer_of_the_real_app_server_is_a_codex_error(
    app_server: RealServer,
) -> None:
    async with connected(app_server.socket) as client:
        await client.initialize()
        with pytest.raises(CodexError, match="unknown variant"):
            await client.call("thread/no/such", {}, dict)


@pytest.mark.end_to_end
async def test_a_call_fails_when_the_app_server_goes_away(app_server: RealServer) -> None:
    async with connected(app_server.socket) as client:
        await client.initialize()
        await asyncio.to_thread(app_server.stop)
        with pytest.raises(ConnectionLost):
            await client.call("thread/loaded/list", {}, codex.LoadedList)


async def test_nobody_there_is_told_as_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no app-server answers"):
        await AppServerClient.connect(tmp_path / "nobody")


async def test_what_is_not_understood_is_passed_over(tmp_path: Path) -> None:
    heard: list[codex.Event] = []
    frames = (
        "no json",
        b"\xff",
        "[]",
        '{"method":"item/completed","params":{"item":7}}',
        '{"method":"not/known","params":{}}',
        '{"method":"thread/closed","params":{"threadId":"t"}}',
        '{"id":99,"result":{}}',
        '{"id":1,"result":{"data":["a"]}}',
    )
    async with misbehaving(tmp_path / "s", *frames) as client:
        client.heard = heard.append
        answer = await client.call("thread/loaded/list", {}, codex.LoadedList)
        assert answer.data == ["a"]
        assert heard == [codex.ThreadClosed("t")]


@pytest.mark.requirement("A6")
async def test_a_request_of_the_server_is_told_and_not_answered(tmp_path: Path) -> None:
    asked: list[codex.ServerRequest] = []
    frames = (
        '{"id":"6","method":"some/new/thing","params":{"threadId":"t","reason":"r"}}',
        '{"id":1,"result":{"data":[]}}',
    )
    async with misbehaving(tmp_path / "s", *frames) as client:
        client.asked = asked.append
        await client.call("thread/loaded/list", {}, codex.LoadedList)
        (request,) = asked
        assert (request.id, request.method, request.thread_id) == ("6", "some/new/thing", "t")


async def test_a_result_of_another_shape_names_the_field(tmp_path: Path) -> None:
    async with misbehaving(tmp_path / "s", '{"id":1,"result":{"data":7}}') as client:
        with pytest.raises(ProtocolError, match=r"thread/loaded/list.*\$\.data"):
            await client.call("thread/loaded/list", {}, codex.LoadedList)


async def test_no_answer_in_time_leaves_it_unknown(tmp_path: Path) -> None:
    async with misbehaving(tmp_path / "s") as client:
        with pytest.raises(ConnectionLost, match="did not answer"):
            await client.call("thread/loaded/list", {}, codex.LoadedList, within=0.05)
