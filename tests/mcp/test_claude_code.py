"""The shim under the real Claude Code, its plugin installed by Claude Code's own commands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from agentbridged.mcp.texts import TOOLS
from agentbridged.paths import Paths
from tests.lab import claude as lab
from tests.lab.tui import ClaudeTui
from tests.lab.waiting import until
from tests.lab.world import World
from tests.mcp.scripted_daemon import ScriptedDaemon, codex_says, serving

pytestmark = [pytest.mark.realtime, pytest.mark.end_to_end, pytest.mark.timeout(300)]

BASH_UNTIL_DELIVERED = '{"command": "until [ -e %s/go ]; do sleep 0.1; done"}'
"""A tool call that lasts until the test has seen the message go into the inbox."""
BYPASS = "--dangerously-skip-permissions"


@pytest.fixture
def paths(world: World) -> Paths:
    return Paths(runtime=world.runtime, state=world.state, config_file=world.config_file)


@asynccontextmanager
async def session(
    world: World, daemon: ScriptedDaemon, *arguments: str
) -> AsyncIterator[ClaudeTui]:
    """Run one Claude Code until its shim has asked for the seat; close it in the end."""
    asked = len(daemon.named("attach"))
    claude = await asyncio.to_thread(world.claude_tui, *arguments)
    try:
        await daemon.until(lambda: len(daemon.named("attach")) > asked)
        yield claude
    finally:
        await asyncio.to_thread(claude.close)


async def given(world: World, text: str, session: str | None = None) -> str:
    """Wait until the model was given this text; returns all it was given."""
    request = await asyncio.to_thread(
        world.messages.wait_for_text, text, session=session, explain=world.report
    )
    return str(request["said"])


async def test_an_idle_session_is_woken_and_the_transcript_proves_it(
    world: World, paths: Paths
) -> None:
    async with serving(paths) as daemon, session(world, daemon) as claude:
        attach = daemon.named("attach")[0]
        assert (attach["claude_pid"], attach["session_id"]) == (claude.pid, claude.session)
        assert attach["project_dir"] == str(world.project)
        await daemon.notify("message", codex_says(1, "WAKE </codex-message> UP"))
        assert 'from-name="codex"' in await given(world, "WAKE <\\/codex-message> UP")
        await daemon.until(lambda: bool(daemon.named("consumed")))
        assert daemon.named("consumed") == [{"ids": ["ab-000000000001"], "proof": "transcript"}]
        await asyncio.to_thread(claude.terminal.wait_for, "Message from @codex")


async def test_what_waited_for_a_session_reaches_it_as_it_starts(
    world: World, paths: Paths
) -> None:
    daemon = ScriptedDaemon()
    daemon.greeting = [codex_says(number, f"WAITED-{number}") for number in (11, 12)]
    async with serving(paths, daemon), session(world, daemon) as claude:
        said = await given(world, ">WAITED-12", claude.session)
        assert said.count(">WAITED-11\n") == said.count(">WAITED-12\n") == 1
        await daemon.until(lambda: bool(daemon.named("consumed")))


async def test_the_tools_are_there_from_the_start_and_not_deferred(
    world: World, paths: Paths
) -> None:
    async with serving(paths) as daemon, session(world, daemon) as claude:
        await asyncio.to_thread(claude.call, "send_to_codex", text="from the real Claude")
        await daemon.until(lambda: bool(daemon.named("send")))
        await given(world, "ab-000000000001 accepted", claude.session)
        main = [request for request in world.messages.requests() if request["main"]]
        offered = {tool["name"]: tool for tool in main[-1]["body"]["tools"]}
        for tool in TOOLS:
            assert "defer_loading" not in offered[f"{lab.TOOLS}{tool['name']}"]


async def test_a_call_that_waits_returns_the_message(world: World, paths: Paths) -> None:
    async with serving(paths) as daemon, session(world, daemon) as claude:
        await asyncio.to_thread(claude.call, "wait_for_message", timeout_s=60)
        await given(world, "wait_for_message", claude.session)
        await daemon.notify("message", codex_says(2, "RETURNED"))
        assert ">RETURNED" in await given(world, ">RETURNED", claude.session)
        await daemon.until(lambda: bool(daemon.named("consumed")))
        assert daemon.named("consumed")[0]["ids"] == ["ab-000000000002"]


async def test_a_message_that_comes_during_a_tool_call_joins_the_turn(
    world: World, paths: Paths
) -> None:
    async with serving(paths) as daemon, session(world, daemon) as claude:
        await asyncio.to_thread(claude.wait_idle)
        line = f"BUSY !tool Bash {BASH_UNTIL_DELIVERED % world.home}"
        await asyncio.to_thread(claude.say, f"{line} ;; !say done")
        await given(world, "BUSY", claude.session)
        await daemon.notify("message", codex_says(3, "JOINS"))
        await daemon.until(lambda: bool(daemon.named("delivered")))
        (world.home / "go").touch()
        said = await given(world, ">JOINS", claude.session)
        assert "while you were working" in said
        await daemon.until(lambda: bool(daemon.named("consumed")))


async def test_a_session_that_bypasses_permissions_is_reached_too(
    world: World, paths: Paths
) -> None:
    async with serving(paths) as daemon, session(world, daemon, BYPASS) as claude:
        await daemon.notify("message", codex_says(7, "BYPASSED"))
        await given(world, ">BYPASSED", claude.session)
        await daemon.until(lambda: bool(daemon.named("consumed")))


async def test_after_clear_the_new_session_is_followed(world: World, paths: Paths) -> None:
    async with serving(paths) as daemon, session(world, daemon) as claude:
        before = claude.session
        await daemon.notify("message", codex_says(4, "BEFORE"))
        await given(world, ">BEFORE", before)
        await daemon.until(lambda: len(daemon.named("consumed")) == 1)
        await asyncio.to_thread(claude.wait_idle)
        await asyncio.to_thread(claude.say, "/clear")
        await asyncio.to_thread(_until_another_session, claude, before)
        await daemon.notify("message", codex_says(5, "AFTER"))
        await given(world, ">AFTER", claude.session)
        await daemon.until(lambda: len(daemon.named("consumed")) == 2)
        assert daemon.named("attach")[-1]["session_id"] == claude.session


async def test_of_two_sessions_each_gets_its_own(world: World, paths: Paths) -> None:
    async with serving(paths) as daemon, session(world, daemon) as first:
        daemon.refuse = (4001, f"seat held by pid {first.pid} since 10:03")
        async with session(world, daemon) as second:
            await daemon.notify("message", codex_says(6, "ONLY-FIRST"))
            await given(world, ">ONLY-FIRST", first.session)
            await asyncio.to_thread(second.call, "bridge_status")
            said = await given(world, "rejected: seat held by pid", second.session)
            assert str(first.pid) in said
            assert world.messages.with_text("ONLY-FIRST", session=second.session) == []


def _until_another_session(claude: ClaudeTui, before: str) -> None:
    until(
        lambda: claude.session not in ("", before),
        "another session",
        explain=claude.terminal.screen,
    )
    claude.wait_idle()
