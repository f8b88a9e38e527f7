import asyncio
from pathlib import Path

import pytest

from agentbridged.proxy.upstreams import RETRY, Upstreams
from tests.proxy.scene import app_server

pytestmark = pytest.mark.realtime


async def test_a_connection_is_had_as_soon_as_an_address_is_named(short_folder: Path) -> None:
    upstreams = Upstreams()
    async with (
        app_server(short_folder / "s") as server,
        asyncio.timeout(30),
        asyncio.TaskGroup() as tasks,
    ):
        connecting = tasks.create_task(upstreams.connect())
        await asyncio.to_thread(lambda: None)
        assert not connecting.done()
        upstreams.move(str(server.path))
        async with asyncio.timeout(30):
            (await connecting).close()


async def test_an_app_server_that_is_not_up_yet_is_tried_again(short_folder: Path) -> None:
    upstreams = Upstreams()
    upstreams.move(str(short_folder / "s"))
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        connecting = tasks.create_task(upstreams.connect())
        await asyncio.to_thread(lambda: None)
        async with app_server(short_folder / "s"):
            (await connecting).close()


async def test_what_is_no_socket_is_no_upstream(short_folder: Path) -> None:
    upstreams = Upstreams()
    (short_folder / "f").touch()
    upstreams.move(str(short_folder / "f"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(RETRY * 3):
            await upstreams.connect()
