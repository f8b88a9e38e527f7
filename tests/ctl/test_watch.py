"""``watch`` as a person runs it."""

import asyncio
import json
import signal

import pytest

from tests.admin.desk import SmallDesk, served
from tests.ctl.shell import BOUND, Shell

pytestmark = pytest.mark.realtime


async def listening(desk: SmallDesk) -> None:
    await asyncio.wait_for(desk.subscribed.wait(), BOUND)


async def test_news_are_printed_as_they_come_until_ctrl_c(shell: Shell) -> None:
    async with served(shell.runtime) as desk:
        process = await shell.start("watch")
        await listening(desk)
        desk.tell(
            "turn", {"bridge": "a-1", "status": "idle", "why": None, "n": [1], "t": "a\x1bb\n"}
        )
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), BOUND)).decode()
        assert line.split(" ", 1)[1] == "turn bridge=a-1 status=idle n=[1] t=a\ufffdb⏎\n"
        process.send_signal(signal.SIGINT)
        out, err = await asyncio.wait_for(process.communicate(), BOUND)
        assert (process.returncode, out, err.strip()) == (130, b"", b"")


async def test_news_are_for_programs_too_and_of_one_bridge(shell: Shell) -> None:
    async with served(shell.runtime) as desk:
        id = desk.ensure_bridge(str(shell.project))
        process = await shell.start("watch", "--json", "--bridge", ".")
        await listening(desk)
        desk.tell("turn", {"bridge": "other"})
        desk.tell("turn", {"bridge": id})
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), BOUND)
        assert json.loads(line) == {"event": "turn", "params": {"bridge": id}}
        process.terminate()
        await asyncio.wait_for(process.communicate(), BOUND)


async def test_the_daemons_end_is_told(shell: Shell) -> None:
    async with served(shell.runtime) as desk:
        process = await shell.start("watch")
        await listening(desk)
    _, err = await asyncio.wait_for(process.communicate(), BOUND)
    assert process.returncode == 4
    assert b"closed the connection" in err
