"""The door, over real sockets, with real clients and real processes."""

from __future__ import annotations

import os

from tests.claude.hall import open_hall


async def test_a_session_attaches_and_is_told_its_bridge() -> None:
    async with open_hall() as hall, hall.shim() as shim:
        answer = await shim.attach()
        assert answer["result"] == {"bridge": "p", "root": "/work/p", "codex": None, "pending": 0}
        holder = hall.door.holder("p")
        assert holder is not None
        assert holder.key == f"{os.getpid()}/s1"


async def test_a_second_session_is_rejected_and_the_holder_unharmed() -> None:
    async with open_hall() as hall, hall.shim() as first, hall.shim() as second:
        await first.attach()
        await second.ask("attach", session_id="s2", contract=1, project_dir="/work/p", claude_pid=1)
        code, reason = await second.closed()
        assert code == 4001
        assert reason is not None
        assert reason.startswith(f"seat held by pid {os.getpid()} session s1 since ")
        assert (await first.call("status"))["result"] == {"id": "p"}
        assert first.notes == []
