import pytest

from tests.admin.desk import SmallDesk, served
from tests.ctl.shell import Shell

pytestmark = pytest.mark.realtime


def ask(desk: SmallDesk, bridge: str, id: str = "ap-1", method: str = "") -> None:
    desk.store.add_approval(
        id=id,
        bridge=bridge,
        server="7:1.00",
        request_id=0,
        method=method or "item/commandExecution/requestApproval",
        thread_id="th",
        turn_id=None,
        what="run the command: make \x1b[2Jinstall",
        asked={},
    )


@pytest.mark.requirement("A8")
async def test_what_is_open_is_listed_and_answered_once(shell: Shell) -> None:
    async with served(shell.runtime) as desk:
        assert (await shell.ctl("approvals")).out == "Codex waits for no approval\n"
        ask(desk, desk.ensure_bridge(str(shell.project)))
        desk.approvals = type(desk.approvals)(desk.store, lambda row, new: None)
        listed = await shell.ctl("approvals")
        assert "ap-1  pending" in listed.out
        assert "make \N{REPLACEMENT CHARACTER}[2Jinstall" in listed.out
        (row,) = (await shell.ctl("approvals", "list", "--json")).json["approvals"]
        assert (row["id"], row["state"], row["answered_at"]) == ("ap-1", "pending", None)
        assert (await shell.ctl("approvals", "--json")).json == {"approvals": [row]}
        allowed = await shell.ctl("approvals", "allow", "ap-1", "--json")
        assert allowed.json["answer"] == {"decision": "accept"}
        again = await shell.ctl("approvals", "deny", "ap-1")
        assert (again.code, again.out) == (1, "")
        assert "answered by" in again.err
        listed = await shell.ctl("approvals", "list", "--all")
        assert "ap-1  answered" in listed.out


async def test_an_unknown_approval_is_refused(shell: Shell) -> None:
    async with served(shell.runtime):
        done = await shell.ctl("approvals", "allow", "ap-9")
        assert done.code == 1
        assert "`agentbridgectl approvals` lists them" in done.err


@pytest.mark.requirement("A7")
async def test_an_agent_cannot_answer(shell: Shell) -> None:
    async with served(shell.runtime) as desk:
        ask(desk, desk.ensure_bridge(str(shell.project)))
        shell.more["CODEX_THREAD_ID"] = "th"
        done = await shell.ctl("approvals", "allow", "ap-1")
        assert done.code == 1
        assert "only a person" in done.err
        row = desk.store.approval("ap-1")
        assert row is not None
        assert row.state == "pending"
