"""One table of reasons: status, refusals and notices say the same of a lost seat."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agentbridged.machines.recovery import RULES, Reason, Retry, explain
from tests.mcp.client import environment, shim
from tests.mcp.scripted_daemon import paths_below, serving
from tests.mcp.scripted_inbox import inbox

pytestmark = pytest.mark.realtime

WHY = "for a reason of the daemon's own"
VERDICTS = [reason for reason, rule in RULES.items() if rule.code is not None]


@pytest.mark.requirement("S3", "S8")
@pytest.mark.parametrize("reason", VERDICTS)
async def test_status_refusal_and_notice_take_their_words_from_the_table(
    home: Path, reason: Reason
) -> None:
    paths, code = paths_below(home), RULES[reason].code
    assert code is not None
    words = explain(reason, WHY)
    async with serving(paths) as daemon, inbox(home / f"{os.getpid()}.sock") as box:
        env = environment(paths, home, CLAUDE_CODE_SESSION_ID="s-1", **box.environment)
        async with shim(env, home) as client:
            await client.initialize()
            await daemon.until(lambda: bool(daemon.connections))
            daemon.refuse = (code, WHY)
            await daemon.close(code, WHY)
            notice = await box.until(words)
            assert f'kind="{reason.value}"' in notice
            status, _ = await client.tool("bridge_status")
            assert f"connection: {words}" in status
            for tool, arguments in (("send_to_codex", {"text": "x"}), ("interrupt_codex", {})):
                refused, is_error = await client.tool(tool, **arguments)
                assert is_error
                assert words in refused
            attempts = len(daemon.named("attach"))
            assert attempts == 1 or RULES[reason].retry is Retry.POLL
            assert daemon.named("send") == []
