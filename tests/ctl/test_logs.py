"""``logs`` as a person runs it."""

import asyncio

import pytest

from tests.admin.desk import served
from tests.ctl.shell import BOUND, Shell

pytestmark = pytest.mark.realtime


async def test_the_end_of_the_log_is_shown(shell: Shell) -> None:
    done = await shell.ctl("logs")
    assert done.code == 1
    assert "there is no log yet" in done.err
    (shell.state / "logs").mkdir(parents=True)
    log = shell.state / "logs" / "agentbridged.log"
    log.write_text("".join(f"line {n}\n" for n in range(100)), encoding="utf-8")
    assert (await shell.ctl("logs", "-n", "2")).out == "line 98\nline 99\n"
    assert len((await shell.ctl("logs")).out.splitlines()) == 50


async def test_what_codex_printed_is_shown_apart(shell: Shell) -> None:
    done = await shell.ctl("logs", "app-server")
    assert "when the app-server has run once" in done.err
    (shell.state / "logs").mkdir(parents=True)
    log = shell.state / "logs" / "app-server.log"
    log.write_text("it hurts\n", encoding="utf-8")
    assert (await shell.ctl("logs", "app-server")).out == "it hurts\n"
    assert (await shell.ctl("logs", "codex")).code == 2


async def test_of_an_app_server_that_is_not_ours_no_log_is_promised(shell: Shell) -> None:
    async with served(shell.runtime) as desk:
        assert "has run once" in (await shell.ctl("logs", "app-server")).err
        desk.managed = False
        said = await shell.ctl("logs", "app-server")
        assert said.code == 1
        assert "another program's, which we have joined" in said.err
        assert "has run once" not in said.err
        assert "when the proxy has run once" in (await shell.ctl("logs", "proxy")).err


async def test_the_log_is_followed(shell: Shell) -> None:
    (shell.state / "logs").mkdir(parents=True)
    log = shell.state / "logs" / "agentbridged.log"
    log.write_text("old\n", encoding="utf-8")
    process = await shell.start("logs", "-f")
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), BOUND) == b"old\n"
    with log.open("a", encoding="utf-8") as stream:
        stream.write("new\n")
    assert await asyncio.wait_for(process.stdout.readline(), BOUND) == b"new\n"
    process.terminate()
    await asyncio.wait_for(process.communicate(), BOUND)
