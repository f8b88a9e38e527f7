"""Each step of the ladder under the real Claude Code, the steps above it taken away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from agentbridged.ctl.plugin_files import NAME
from agentbridged.paths import Paths
from tests.lab import claude as lab
from tests.lab.tui import ClaudeTui
from tests.lab.world import World
from tests.mcp.scripted_daemon import ScriptedDaemon, codex_says, serving

pytestmark = [pytest.mark.realtime, pytest.mark.end_to_end, pytest.mark.timeout(300)]

NO_INBOX = {"CLAUDE_CODE_MESSAGING_SOCKET": "", "CLAUDE_CODE_MESSAGING_TOKEN": ""}
"""What makes our server one that was named no inbox, as by an older Claude Code."""


@pytest.fixture
def paths(world: World) -> Paths:
    return Paths(runtime=world.runtime, state=world.state, config_file=world.config_file)


@asynccontextmanager
async def session(
    world: World, daemon: ScriptedDaemon, *arguments: str, **settings: Any
) -> AsyncIterator[ClaudeTui]:
    """Run one Claude Code with these settings until it is idle and attached."""
    file = world.claude_dir / "settings.json"
    before = file.read_text(encoding="utf-8")
    file.write_text(json.dumps(json.loads(before) | settings), encoding="utf-8")
    asked = len(daemon.named("attach"))
    claude = await asyncio.to_thread(world.claude_tui, *arguments)
    try:
        await daemon.until(lambda: len(daemon.named("attach")) > asked)
        await asyncio.to_thread(claude.wait_idle)
        yield claude
    finally:
        await asyncio.to_thread(claude.close)
        file.write_text(before, encoding="utf-8")


@pytest.fixture
def no_inbox(world: World) -> Iterator[None]:
    """Our server is named no inbox: its entry in the installed plugin says so."""
    (file,) = world.home.rglob(f"plugin*/{NAME}/.mcp.json")
    before = file.read_text(encoding="utf-8")
    servers = json.loads(before)
    servers["mcpServers"][NAME]["env"] = NO_INBOX
    file.write_text(json.dumps(servers), encoding="utf-8")
    yield
    file.write_text(before, encoding="utf-8")


@asynccontextmanager
async def channelled(world: World, daemon: ScriptedDaemon) -> AsyncIterator[ClaudeTui]:
    """Run a Claude Code that was started with our channel, the feature on, the dialog answered."""
    file = world.claude_dir / ".claude.json"
    known = json.loads(file.read_text(encoding="utf-8"))
    on = {"tengu_harbor": True}
    known |= {"cachedGrowthBookFeatures": on, "cachedFeatureFlags": on}
    file.write_text(json.dumps(known), encoding="utf-8")
    own = lab.environment(world.claude_dir, port=world.messages.port)
    terminal = world._terminal(
        "claude",
        ["claude", "--dangerously-load-development-channels", f"plugin:{NAME}@{NAME}"],
        world.environment | own | {"CLAUDE_CODE_GB_DISK_CACHE_WHEN_TELEMETRY_OFF": "1"},
    )
    claude = ClaudeTui(terminal, world.report, world.terminals, world.claude_dir)
    try:
        await asyncio.to_thread(terminal.wait_for, "local development")
        terminal.key("Enter")
        await asyncio.to_thread(claude.wait_idle)
        await daemon.until(lambda: bool(daemon.named("attach")))
        yield claude
    finally:
        await asyncio.to_thread(claude.close)


async def given(world: World, claude: ClaudeTui, text: str) -> str:
    """Wait until the session's model was given this text; returns all it was given."""
    request = await asyncio.to_thread(
        world.messages.wait_for_text, text, session=claude.session, explain=world.report
    )
    return str(request["said"])


async def says(world: World, claude: ClaudeTui, line: str) -> None:
    """The person says a line, and the turn ends."""
    await asyncio.to_thread(claude.say, line)
    await given(world, claude, line)
    await asyncio.to_thread(claude.wait_idle)


def ways(daemon: ScriptedDaemon) -> dict[str, str]:
    return {way["step"]: way["state"] for way in daemon.named("ways")[-1]["ways"]}


async def test_without_an_inbox_the_end_of_a_turn_hands_it_over_and_the_transcript_proves_it(
    world: World, paths: Paths, no_inbox: None
) -> None:
    async with serving(paths) as daemon, session(world, daemon) as claude:
        await daemon.notify("message", codex_says(1, "AT-THE-END"))
        await daemon.until(lambda: len(daemon.named("tried")) == 2)
        assert [(t["step"], t["result"]) for t in daemon.named("tried")] == [
            ("inbox", "missing"),
            ("channel", "missing"),
        ]
        await says(world, claude, "x !say FIRST")
        said = await given(world, claude, ">AT-THE-END")
        assert "Stop hook additional context" in said
        await daemon.until(lambda: bool(daemon.named("consumed")))
        assert daemon.named("delivered") == [{"ids": ["ab-000000000001"], "step": "stop_hook"}]
        assert daemon.named("consumed") == [{"ids": ["ab-000000000001"], "proof": "transcript"}]
        await daemon.until(lambda: ways(daemon)["stop_hook"] == "proven")
        assert ways(daemon)["inbox"] == "off"
        await asyncio.to_thread(claude.terminal.wait_for, "Stop hook says: <codex-message")
        await asyncio.to_thread(claude.terminal.wait_for, "Codex says: AT-THE-END")
        # Nothing is left: the next turn ends as without a hook.
        await says(world, claude, "x !say SECOND")
        screen = await asyncio.to_thread(claude.terminal.screen)
        assert screen.count("Ran 1 stop hook") == 1
        assert "problem" not in screen


async def test_what_the_person_lets_claude_code_refuse_comes_at_the_end_of_a_turn_marked(
    world: World, paths: Paths
) -> None:
    async with (
        serving(paths) as daemon,
        session(world, daemon, crossSessionInbound="refuse") as claude,
    ):
        await daemon.notify("message", codex_says(2, "REFUSED-FIRST"))
        await daemon.until(lambda: bool(daemon.named("delivered")))
        await says(world, claude, "x !say THIRD")
        said = await given(world, claude, ">REFUSED-FIRST")
        assert 'repeat="perhaps' in said
        await daemon.until(lambda: bool(daemon.named("consumed")))
        assert [d["step"] for d in daemon.named("delivered")] == ["inbox", "stop_hook"]


async def test_what_the_person_holds_back_is_left_to_them_and_said_so(
    world: World, paths: Paths
) -> None:
    async with (
        serving(paths) as daemon,
        session(world, daemon, crossSessionInbound="hold") as claude,
    ):
        await daemon.notify("message", codex_says(3, "HELD-BACK"))
        await daemon.until(lambda: bool(daemon.named("tried")))
        (tried,) = daemon.named("tried")
        assert (tried["step"], tried["result"]) == ("inbox", "held")
        await says(world, claude, "x !say FOURTH")
        assert world.messages.with_text(">HELD-BACK", session=claude.session) == []
        assert daemon.named("consumed") == []


async def test_what_waits_in_claude_codes_queue_is_not_handed_over_by_the_hook_too(
    world: World, paths: Paths
) -> None:
    async with serving(paths) as daemon, session(world, daemon) as claude:
        await asyncio.to_thread(claude.say, "x !hold gate STREAMED one two three END")
        await asyncio.to_thread(world.messages.wait_until_held, "gate")
        await daemon.notify("message", codex_says(4, "IN-THE-QUEUE"))
        await daemon.until(lambda: bool(daemon.named("delivered")))
        world.messages.release("gate")
        await given(world, claude, ">IN-THE-QUEUE")
        await daemon.until(lambda: bool(daemon.named("consumed")))
        await says(world, claude, "x !say FIFTH")
        said = await given(world, claude, "!say FIFTH")
        assert said.count(">IN-THE-QUEUE\n") == 1
        assert [d["step"] for d in daemon.named("delivered")] == ["inbox"]
        assert ways(daemon)["inbox"] == "proven"


async def test_a_long_message_comes_with_its_head_and_the_rest_is_read(
    world: World, paths: Paths, no_inbox: None
) -> None:
    async with serving(paths) as daemon, session(world, daemon) as claude:
        text = f"BEGIN {'word ' * 4000}END-OF-IT"
        await daemon.notify("message", codex_says(5, text))
        await daemon.until(lambda: len(daemon.named("tried")) == 2)
        await says(world, claude, "x !say SIXTH")
        said = await given(world, claude, ">BEGIN word")
        assert "cut here; read_messages gives the rest" in said
        await asyncio.to_thread(claude.call, "read_messages")
        await given(world, claude, "END-OF-IT")
        await daemon.until(lambda: bool(daemon.named("consumed")))
        assert [d["step"] for d in daemon.named("delivered")] == ["stop_hook"]


async def test_the_channel_wakes_an_idle_session_that_was_started_with_one(
    world: World, paths: Paths, no_inbox: None
) -> None:
    async with serving(paths) as daemon, channelled(world, daemon) as claude:
        await daemon.notify("message", codex_says(6, "CHANNELLED"))
        said = await given(world, claude, ">CHANNELLED")
        assert '<channel source="plugin:agentbridge:agentbridge" from="codex">' in said
        await daemon.until(lambda: bool(daemon.named("consumed")))
        assert daemon.named("delivered") == [{"ids": ["ab-000000000006"], "step": "channel"}]
        await daemon.until(lambda: ways(daemon)["channel"] == "proven")
        await asyncio.to_thread(claude.say, "x !hold channel STREAMED one two three END")
        await asyncio.to_thread(world.messages.wait_until_held, "channel")
        await daemon.notify("message", codex_says(7, "DURING-IT"))
        await daemon.until(lambda: len(daemon.named("delivered")) == 2)
        world.messages.release("channel")
        await given(world, claude, ">DURING-IT")
        await daemon.until(lambda: len(daemon.named("consumed")) == 2)
        await says(world, claude, "x !say SEVENTH")
        said = await given(world, claude, "!say SEVENTH")
        assert said.count(">DURING-IT\n") == 1
