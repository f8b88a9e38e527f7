"""``kill``, ``revive``, ``pause``, ``resume`` and ``seat release`` as a person runs them."""

import pytest

from tests.admin.desk import served
from tests.ctl.shell import Shell

pytestmark = pytest.mark.realtime


async def test_a_bridge_is_the_current_directorys_or_named_or_every_one(shell: Shell) -> None:
    inner = shell.project / "src"
    inner.mkdir()
    (shell.project / ".git").mkdir()
    async with served(shell.runtime) as desk:
        id = desk.ensure_bridge(str(shell.project))
        other = desk.ensure_bridge(str(shell.home))
        done = await shell.ctl("kill", "--reason", "lunch", cwd=inner)
        assert done.code == 0
        assert done.out == (f"{id} is killed; `agentbridgectl revive {id}` switches it on again\n")
        row = desk.store.bridge(id)
        assert row is not None
        assert (row.state, row.reason) == ("killed", "lunch")
        assert (await shell.ctl("revive", id)).out == f"{id} is active\n"
        assert (await shell.ctl("pause", ".", cwd=inner)).code == 0
        rows = (await shell.ctl("resume", "--all", "--json")).json["bridges"]
        assert {(r["id"], r["state"]) for r in rows} == {(id, "active"), (other, "active")}
        assert all(r["changed_at"].endswith("Z") for r in rows)


async def test_an_unknown_bridge_is_refused(shell: Shell) -> None:
    async with served(shell.runtime):
        for arguments in (("kill", "nowhere"), ("revive",), ("seat", "release", "/nowhere")):
            done = await shell.ctl(*arguments)
            assert (done.code, done.out) == (1, "")
            assert "`agentbridgectl bridges` lists them" in done.err
        assert (await shell.ctl("kill", "--all")).out == "there are no bridges\n"


async def test_the_seat_is_released_once(shell: Shell) -> None:
    async with served(shell.runtime) as desk:
        id = desk.ensure_bridge(str(shell.project))
        desk.held = True
        assert (await shell.ctl("seat", "release")).out == f"the seat of {id} is free\n"
        assert "nobody held" in (await shell.ctl("seat", "release")).out
        assert (await shell.ctl("seat", "release", "--json")).json == {
            **{"bridge": id, "released": False},
        }
