"""The shim as Claude Code runs it: a process, a daemon and an inbox on real sockets."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agentbridged import __version__
from agentbridged.errors import ConnectionLost, Refused
from agentbridged.mcp.shim import _is_settled
from agentbridged.paths import Paths
from tests.mcp.client import COMMAND, ROOT, Client, environment, shim
from tests.mcp.scripted_daemon import WAIT, ScriptedDaemon, codex_says, paths_below, serving
from tests.mcp.scripted_inbox import ScriptedInbox, inbox

pytestmark = pytest.mark.realtime


@pytest.fixture
def paths(home: Path) -> Paths:
    return paths_below(home)


class Scene:
    """A shim that is attached, its daemon and its inbox."""

    def __init__(
        self, client: Client, daemon: ScriptedDaemon, box: ScriptedInbox, home: Path
    ) -> None:
        self.client, self.daemon, self.box, self.home = client, daemon, box, home

    def transcript(self, *lines: dict[str, Any]) -> None:
        """Write lines to the session's transcript, as Claude Code does."""
        folder = self.home / ".claude" / "projects" / "-p"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "s-1.jsonl").open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)


@asynccontextmanager
async def attached(
    home: Path, paths: Paths, daemon: ScriptedDaemon | None = None
) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        daemon = await stack.enter_async_context(serving(paths, daemon))
        box = await stack.enter_async_context(inbox(home / f"{os.getpid()}.sock"))
        env = environment(
            paths, home, CLAUDE_CODE_SESSION_ID="s-1", CLAUDE_PROJECT_DIR="/p", **box.environment
        )
        client = await stack.enter_async_context(shim(env, home))
        await client.initialize()
        await daemon.until(lambda: bool(daemon.connections))
        yield Scene(client, daemon, box, home)


async def test_it_is_ready_without_a_daemon_and_declines_the_newer_era(
    home: Path, paths: Paths
) -> None:
    async with shim(environment(paths, home), home) as client:
        client.write(b'{"jsonrpc":"2.0","id":"probe-1","method":"server/discover"}')
        assert (await client.read())["error"]["code"] == -32601
        answer = (await client.initialize())["result"]
        assert answer["protocolVersion"] == "2025-11-25"
        assert len(answer["instructions"]) < 4096
        tools = (await client.ask("tools/list"))["result"]["tools"]
        assert all(tool["_meta"]["anthropic/alwaysLoad"] is True for tool in tools)
        assert await client.ask("ping") == {"jsonrpc": "2.0", "id": 2, "result": {}}


async def test_garbage_is_answered_and_the_server_serves_on(home: Path, paths: Paths) -> None:
    async with shim(environment(paths, home), home) as client:
        for line, code in (
            (b"no json", -32700),
            (b"\xff\xfe{}", -32700),
            (b"[]", -32600),
            (b'{"jsonrpc":"1.0","id":1,"method":"ping"}', -32600),
            (b'{"jsonrpc":"2.0","id":1,"method":"resources/list"}', -32601),
            (b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}', -32602),
        ):
            client.write(line)
            assert (await client.read())["error"]["code"] == code, line
        client.write(b'{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{"n":"\\ud800"}}')
        assert (await client.read())["id"] == "x"
        assert (await client.ask("ping"))["result"] == {}


async def test_bad_arguments_are_refused_by_name_and_nothing_is_sent(
    home: Path, paths: Paths
) -> None:
    async with attached(home, paths) as scene:
        for name, arguments, field in (
            ("send_to_codex", {}, "text"),
            ("send_to_codex", {"text": 5}, "text"),
            ("send_to_codex", {"text": "a", "wen_busy": "queue"}, "wen_busy"),
            ("send_to_codex", {"text": "a", "when_busy": "now"}, "when_busy"),
            ("wait_for_message", {"timeout_s": -1}, "timeout_s"),
            ("read_messages", {"limit": 0}, "limit"),
            ("attach", {"take_over": "yes"}, "take_over"),
        ):
            text, is_error = await scene.client.tool(name, **arguments)
            assert is_error
            assert field in text
            assert "Nothing was sent" in text
        assert scene.daemon.named("send") == []


async def test_a_message_is_sent_and_its_id_returned(home: Path, paths: Paths) -> None:
    async with attached(home, paths) as scene:
        text, is_error = await scene.client.tool("send_to_codex", text="hello", when_busy="steer")
        assert not is_error
        assert "ab-000000000001" in text
        (sent,) = scene.daemon.named("send")
        assert (sent["text"], sent["when_busy"]) == ("hello", "steer")
        assert scene.daemon.named("attach")[0]["claude_pid"] == os.getpid()


async def test_a_message_whose_answer_was_lost_is_sent_again_under_the_same_key(
    home: Path, paths: Paths
) -> None:
    daemon = ScriptedDaemon()
    store = daemon.on_send

    def cut_once(params: dict[str, Any]) -> None:
        store(params)
        daemon.on_send = store

    daemon.on_send = cut_once
    async with attached(home, paths, daemon) as scene:
        text, is_error = await scene.client.tool("send_to_codex", text="hello")
        assert not is_error
        assert "nothing was sent twice" in text
        first, second = daemon.named("send")
        assert first["idempotency_key"] == second["idempotency_key"]


async def test_without_a_daemon_nothing_is_sent_and_the_answer_says_how_to_start_it(
    home: Path, paths: Paths
) -> None:
    async with shim(environment(paths, home), home) as client:
        await client.initialize()
        text, is_error = await client.tool("send_to_codex", text="hello")
        assert is_error
        assert "nothing was sent" in text
        assert "agentbridgectl service start" in text


async def test_a_send_waits_for_a_daemon_that_is_just_starting(home: Path, paths: Paths) -> None:
    async with shim(environment(paths, home), home) as client:
        await client.initialize()
        call = client.post("tools/call", {"name": "send_to_codex", "arguments": {"text": "hi"}})
        async with serving(paths):
            text, is_error = client.result(await client.answer(call))
        assert not is_error
        assert "ab-000000000001" in text


@pytest.mark.requirement("S4", "S8")
async def test_a_rejected_session_says_who_holds_the_seat_and_stays_out(
    home: Path, paths: Paths
) -> None:
    daemon = ScriptedDaemon()
    daemon.refuse = (4001, "seat held by pid 4242 since 10:03")
    async with serving(paths, daemon), shim(environment(paths, home), home) as client:
        await client.initialize()
        text, is_error = await client.tool("send_to_codex", text="hello")
        assert is_error
        assert "rejected" in text
        assert "4242" in text
        status, is_error = await client.tool("bridge_status")
        assert not is_error
        assert "rejected" in status
        assert "4242" in status
        assert len(daemon.named("attach")) == 1
        daemon.refuse = None
        text, is_error = await client.tool("attach", take_over=True)
        assert not is_error
        assert "p-1" in text
        assert [a["take_over"] for a in daemon.named("attach")] == [False, True]


async def test_who_only_looks_whether_it_starts_takes_no_seat(home: Path, paths: Paths) -> None:
    async with serving(paths) as daemon, shim(environment(paths, home), home) as client:
        await client.initialize()
        client.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}')
        await client.ask("tools/list")
        assert daemon.requests == []
        status, _ = await client.tool("bridge_status")
        assert "this session holds the seat" in status


@pytest.mark.requirement("S7")
async def test_a_killed_bridge_says_so_and_comes_back_by_itself(home: Path, paths: Paths) -> None:
    daemon = ScriptedDaemon()
    daemon.refuse = (4003, "switched off by root at 10:03")
    async with serving(paths, daemon), shim(environment(paths, home), home) as client:
        await client.initialize()
        text, is_error = await client.tool("send_to_codex", text="hello")
        assert is_error
        assert "killed: switched off by root at 10:03" in text
        assert "agentbridgectl revive" in text
        daemon.refuse = None
        await daemon.until(lambda: bool(daemon.connections))
        assert not (await client.tool("send_to_codex", text="hello"))[1]


@pytest.mark.requirement("S8")
async def test_a_request_in_flight_fails_at_once_with_the_words_of_the_eviction(
    home: Path, paths: Paths
) -> None:
    daemon = ScriptedDaemon()
    held = asyncio.Event()

    def hold(params: dict[str, Any]) -> dict[str, Any]:
        held.set()
        return {"id_of": "nobody", "result": {}}

    async with attached(home, paths, daemon) as scene:
        daemon.on_send = hold
        daemon._answer = lambda method, params: {"id": "nobody", "result": {}}  # type: ignore[method-assign]
        call = scene.client.post(
            "tools/call", {"name": "send_to_codex", "arguments": {"text": "a"}}
        )
        await daemon.until(lambda: bool(daemon.named("send")))
        await daemon.close(4002, "seat taken over by pid 77")
        text, is_error = scene.client.result(await scene.client.answer(call))
        assert is_error
        assert "evicted: seat taken over by pid 77" in text


async def test_what_codex_says_goes_into_the_inbox_and_the_transcript_proves_it(
    home: Path, paths: Paths
) -> None:
    async with attached(home, paths) as scene:
        message = codex_says(1, "four </codex-message> five")
        await scene.daemon.notify("message", message)
        text = await scene.box.until(message["id"])
        assert "four <\\/codex-message> five" in text
        await scene.daemon.until(lambda: bool(scene.daemon.named("delivered")))
        assert scene.daemon.named("delivered") == [{"ids": [message["id"]], "step": "inbox"}]
        scene.transcript(
            {"type": "queue-operation", "operation": "enqueue", "content": text},
            {"type": "user", "message": {"role": "user", "content": text}},
        )
        await scene.daemon.until(lambda: bool(scene.daemon.named("consumed")))
        assert scene.daemon.named("consumed") == [{"ids": [message["id"]], "proof": "transcript"}]
        assert "No unread" in (await scene.client.tool("read_messages"))[0]


async def test_a_waiting_tool_call_gets_the_message_and_the_inbox_does_not(
    home: Path, paths: Paths
) -> None:
    async with attached(home, paths) as scene:
        call = scene.client.post(
            "tools/call", {"name": "wait_for_message", "arguments": {"timeout_s": 60}}
        )
        await scene.client.tool("bridge_status")  # Served after it: the call waits by now.
        await scene.daemon.notify("message", codex_says(1, "the answer"))
        text, is_error = scene.client.result(await scene.client.answer(call))
        assert not is_error
        assert "the answer" in text
        await scene.daemon.until(lambda: bool(scene.daemon.named("consumed")))
        assert scene.daemon.named("consumed") == [{"ids": ["ab-000000000001"], "proof": "tool"}]
        assert scene.box.texts == []


async def test_what_this_process_was_given_before_is_not_pushed_again(
    home: Path, paths: Paths
) -> None:
    daemon = ScriptedDaemon()
    daemon.greeting = [
        codex_says(1, "ONE", written_to=f"{os.getpid()}/s-1", created_at="2099-01-01T00:00:00Z"),
        codex_says(2, "TWO", written_to="1/s-0"),
    ]
    async with attached(home, paths, daemon) as scene:
        text = await scene.box.until("TWO")
        assert "ONE" not in text
        assert "perhaps" in text
        text, _ = await scene.client.tool("read_messages")
        assert text.index("ONE") < text.index("TWO")


@pytest.mark.requirement("S9")
async def test_a_message_repeated_after_a_lost_line_is_pushed_once(
    home: Path, paths: Paths
) -> None:
    daemon = ScriptedDaemon()
    daemon.greeting = [codex_says(1, "ONCE")]
    async with attached(home, paths, daemon) as scene:
        await scene.box.until("ONCE")
        await daemon.close(1012, "restart")
        await daemon.until(lambda: len(daemon.connections) == 2)
        await daemon.notify("message", codex_says(2, "TWICE"))
        text = await scene.box.until("TWICE")
        assert text.count("ONCE") == 1


async def test_a_cancelled_wait_is_not_answered_and_the_message_is_pushed(
    home: Path, paths: Paths
) -> None:
    async with attached(home, paths) as scene:
        call = scene.client.post(
            "tools/call", {"name": "wait_for_message", "arguments": {"timeout_s": 60}}
        )
        scene.client.write(
            json.dumps(
                {
                    "jsonrpc": "2.0",
                    "method": "notifications/cancelled",
                    "params": {"requestId": call},
                }
            ).encode()
        )
        await scene.client.ask("ping")
        await scene.daemon.notify("message", codex_says(1, "the answer"))
        await scene.box.until("the answer")


async def test_a_notice_of_the_bridge_is_pushed_as_such(home: Path, paths: Paths) -> None:
    async with attached(home, paths) as scene:
        await scene.daemon.notify("notice", {"kind": "approval", "text": "Codex waits"})
        text = await scene.box.until("Codex waits")
        assert '<bridge-notice kind="approval">Codex waits</bridge-notice>' in text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_it_with_a_goodbye_and_status_0(
    home: Path, paths: Paths, number: signal.Signals
) -> None:
    async with attached(home, paths) as scene:
        scene.client.process.send_signal(number)
        async with asyncio.timeout(WAIT):
            assert await scene.client.process.wait() == 0
        assert scene.daemon.named("detach") == [{}]


async def test_the_end_of_its_input_ends_it_with_a_goodbye(home: Path, paths: Paths) -> None:
    async with attached(home, paths) as scene:
        assert scene.client.process.stdin is not None
        scene.client.process.stdin.close()
        async with asyncio.timeout(WAIT):
            assert await scene.client.process.wait() == 0
        assert scene.daemon.named("detach") == [{}]


def test_a_report_is_told_again_unless_the_daemon_refused_it_for_good() -> None:
    assert _is_settled(Refused("no such message"))
    assert not _is_settled(Refused("the disk is full", kind="unavailable"))
    assert not _is_settled(ConnectionLost("the line broke"))


def test_a_person_can_ask_which_version_it_is(home: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "--version"],
        env={"PATH": "/usr/bin:/bin", "HOME": str(home), "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert done.stdout == f"agentbridge-mcp {__version__}\n"
