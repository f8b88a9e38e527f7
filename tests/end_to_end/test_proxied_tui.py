"""``agentbridgectl codex``: a real TUI behind the proxy."""

from __future__ import annotations

from tests.lab.waiting import until
from tests.lab.world import World


def test_a_tui_behind_the_proxy_is_bridged_like_a_plain_one(world: World) -> None:
    codex = world.codex_tui(wrapper=True)
    until(lambda: world.status()["proxy"]["tuis"] == 1, "the proxy counts the TUI")
    claude = world.claude_tui()
    bridge = world.wait_bridged(seat=claude.pid)
    assert bridge["codex"]["tui"]
    claude.call("send_to_codex", text="PROXIED?\n%final PROXIED")
    world.messages.wait_for_text(">PROXIED", explain=world.report)
    codex.terminal.wait_for("• PROXIED")
    claude.wait_idle()

    codex.say("%final TYPED-THERE")
    world.messages.wait_for_text(">TYPED-THERE", explain=world.report)
    codex.terminal.wait_for("• TYPED-THERE")
    claude.wait_idle()

    codex.close()
    until(lambda: world.status()["proxy"]["tuis"] == 0, "the proxy saw the TUI leave")
