"""``rpc`` and ``reload`` as a person runs them."""

import pytest

from tests.admin.desk import served
from tests.ctl.shell import Shell

pytestmark = pytest.mark.realtime


async def test_any_verb_can_be_called(shell: Shell) -> None:
    async with served(shell.runtime) as desk:
        id = desk.ensure_bridge(str(shell.project))
        answer = (await shell.ctl("rpc", "bridge.pause", f'{{"bridge":"{id}"}}')).json
        assert answer["bridges"][0]["state"] == "paused"
        done = await shell.ctl("rpc", "nonsense")
        assert done.code == 1
        assert "message.send" in done.err
        done = await shell.ctl("rpc", "message.list", '{"limit":"many"}')
        assert done.code == 1
        assert "$.limit" in done.err


async def test_the_configuration_is_read_again(shell: Shell) -> None:
    async with served(shell.runtime):
        assert (await shell.ctl("reload")).out == "the configuration was read again\n"
        assert (await shell.ctl("reload", "--json")).json == {"changed": []}
