"""An app-server that cannot start any more is given up; everybody is told, and it comes back."""

from __future__ import annotations

import psutil
import pytest

from tests.lab.waiting import until
from tests.lab.world import World


@pytest.mark.timeout(180)
def test_an_app_server_that_is_given_up_is_told_of_everywhere_and_reload_brings_it_back(
    world: World,
) -> None:
    claude = world.claude_tui()
    until(lambda: world.bridge().get("claude"), "the session is seated", explain=world.report)
    away = world.codex_home.rename(world.codex_home.with_name("unmounted"))
    psutil.Process(world.status()["app_server"]["pid"]).kill()

    def given_up() -> bool:
        return bool(world.status()["app_server"]["state"] == "FATAL")

    until(given_up, "the app-server is FATAL", explain=world.report)
    world.messages.wait_for_text("app-server was given up", explain=world.report)
    claude.call("send_to_codex", text="KEPT\n%final AFTER-ALL", start_thread=True)
    world.messages.wait_for_text("FATAL", explain=world.report)
    for told in (world.ctl("status").stdout, world.ctl("doctor").stdout):
        assert "FATAL" in told
        assert "agentbridgectl reload" in told
    metrics = world.ctl("metrics").stdout
    assert 'agentbridge_child_state{child="app_server",state="FATAL"} 1' in metrics
    assert "CODEX_HOME" in world.ctl("logs", "app-server").stdout
    away.rename(world.codex_home)
    world.ctl("reload")
    world.messages.wait_for_text(">AFTER-ALL", explain=world.report)
    assert len(world.responses.prompts("KEPT")) == 1
    assert "FATAL" not in world.ctl("status").stdout
