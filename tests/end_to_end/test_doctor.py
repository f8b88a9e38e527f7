"""``doctor --live`` on the real programs: all is well, and nobody was disturbed."""

from __future__ import annotations

import json

from tests.lab.tui import ClaudeTui, CodexTui
from tests.lab.world import World


def test_a_bridge_that_works_is_well_and_is_not_disturbed(
    world: World, claude: ClaudeTui, codex: CodexTui
) -> None:
    before = world.status()
    done = world.ctl("doctor", "--live", "--json")
    found = {row["id"]: row for row in json.loads(done.stdout)["findings"]}
    wrong = [row for row in found.values() if row["state"] == "fail"]
    assert wrong == []
    assert found["live.codex"]["state"] == "ok"
    for id in ("daemon", "app_server", "proxy", "plugin", "codex", "claude", "environment"):
        assert found[id]["state"] in ("ok", "warn"), found[id]
    after = world.status()
    assert after["proxy"]["tuis"] == before["proxy"]["tuis"]
    now, then = after["bridges"][0]["codex"], before["bridges"][0]["codex"]
    assert [now[k] for k in ("thread_id", "turn_id")] == [then[k] for k in ("thread_id", "turn_id")]
    assert world.history() == []
