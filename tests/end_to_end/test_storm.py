"""Fifty sessions come at once to a seat that a real Claude Code holds."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.lab.scripted import Json
from tests.lab.tui import ClaudeTui, CodexTui
from tests.lab.waiting import until
from tests.lab.world import World

NEWCOMERS = 50


class Newcomer:
    """The MCP server of a further session, as Claude Code starts it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._ids = iter(range(1000))

    def ask(self, method: str, **params: object) -> None:
        """Send a request; its answer is not waited for."""
        assert self._process.stdin is not None
        request = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()

    def hear(self) -> Json:
        """Read the next answer."""
        assert self._process.stdout is not None
        answer: Json = json.loads(self._process.stdout.readline())
        return answer

    def calls(self, tool: str, **arguments: object) -> None:
        """Call a tool; its answer is not waited for."""
        self.ask("tools/call", name=tool, arguments=arguments)


@contextmanager
def newcomer(world: World, number: int) -> Iterator[Newcomer]:
    own = {"CLAUDE_PROJECT_DIR": str(world.project), "CLAUDE_CODE_SESSION_ID": f"n{number}"}
    with subprocess.Popen(
        [str(world.home / "bin" / "agentbridge-mcp")],
        env=world.environment | own,
        cwd=world.project,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield Newcomer(process)
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(30) == 0
        finally:
            process.kill()


def rejections(world: World) -> int:
    log = world.daemon_log_path.read_text(encoding="utf-8", errors="replace")
    return log.count(" closed with 4001: ")


@pytest.mark.requirement("S4", "S2")
def test_fifty_newcomers_make_fifty_connections_and_are_dormant_for_good(
    world: World, codex: CodexTui, claude: ClaudeTui
) -> None:
    with ExitStack() as stack:
        crowd = [stack.enter_context(newcomer(world, n)) for n in range(NEWCOMERS)]
        for one in crowd:
            one.ask("initialize", protocolVersion="2025-11-25", capabilities={})
            one.calls("send_to_codex", text="FROM-THE-CROWD")
        for one in crowd:
            assert "protocolVersion" in one.hear()["result"]
            refused = one.hear()["result"]
            assert refused["isError"]
            said = refused["content"][0]["text"]
            assert said.startswith("nothing was sent. rejected: seat held by pid ")
            assert str(claude.pid) in said
        assert rejections(world) == NEWCOMERS

        # The daemon comes back, and only the holder with it.
        assert world.stop_daemon() == 0
        world.start_daemon()
        world.wait_bridged(seat=claude.pid)
        for one in crowd:
            one.calls("bridge_status")
        for one in crowd:
            assert "connection: rejected" in one.hear()["result"]["content"][0]["text"]
        assert rejections(world) == NEWCOMERS

        # The seat is free, and nobody takes it but who is asked to by a person.
        assert world.ctl("seat", "release").returncode == 0
        until(lambda: world.bridge()["claude"] is None, "the seat is free", explain=world.report)
        crowd[7].calls("attach")
        assert crowd[7].hear()["result"]["content"][0]["text"].startswith("Attached: ")
        assert world.bridge()["claude"]["session_id"] == "n7"
        assert rejections(world) == NEWCOMERS
    assert world.responses.prompts("FROM-THE-CROWD") == []
