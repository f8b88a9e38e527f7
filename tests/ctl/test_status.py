"""``status`` and ``bridges`` as a person runs them."""

import os

import pytest

from tests.admin.desk import served
from tests.ctl.shell import Shell

pytestmark = pytest.mark.realtime


async def test_status_is_for_people_and_for_programs(shell: Shell) -> None:
    async with served(shell.runtime) as desk:
        id = desk.ensure_bridge(str(shell.project))
        done = await shell.ctl("status")
        assert done.code == 0
        assert f"{id}  active  {shell.project}" in done.out
        answer = (await shell.ctl("status", "--json")).json
        assert answer["pid"] == os.getpid()
        assert [row["id"] for row in answer["bridges"]] == [id]


async def test_bridges_are_listed(shell: Shell) -> None:
    async with served(shell.runtime) as desk:
        assert "no bridges yet" in (await shell.ctl("bridges")).out
        id = desk.ensure_bridge(str(shell.project))
        assert (await shell.ctl("bridges")).out.splitlines()[1].startswith(id)
        (row,) = (await shell.ctl("bridges", "--json")).json["bridges"]
        assert (row["id"], row["root"], row["state"]) == (id, str(shell.project), "active")


async def test_a_fault_of_the_daemon_is_told_in_a_line(shell: Shell) -> None:
    async with served(shell.runtime) as desk:
        desk.fault = ZeroDivisionError()
        done = await shell.ctl("status")
    assert done.code == 1
    assert done.err == (
        "agentbridgectl: the daemon failed at this; `agentbridgectl logs` tells more\n"
    )
