"""One connection from its attach to its end."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from agentbridged import __version__
from agentbridged.claude.conversation import IN_FLIGHT
from agentbridged.wire import claude
from tests.claude.hall import attach_params, open_hall


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"contract": "1"}, "$.contract"),
        ({"project_dir": 5}, "$.project_dir"),
        ({"project_dir": ""}, "$.project_dir"),
        ({"project_dir": "relative"}, "project_dir"),
        ({"claude_pid": "42"}, "$.claude_pid"),
        ({"claude_pid": 0}, "$.claude_pid"),
        ({"claude_pid": 2**40}, "$.claude_pid"),
        ({"session_id": None}, "$.session_id"),
        ({"session_id": "x" * 201}, "$.session_id"),
        ({"take_over": 1}, "$.take_over"),
    ],
)
async def test_a_bad_attach_is_answered_and_closed_naming_the_field(
    change: dict[str, Any], field: str
) -> None:
    async with open_hall() as hall, hall.shim() as shim:
        answer = await shim.attach(**change)
        assert field in answer["error"]["message"]
        code, reason = await shim.closed()
        assert code == 4005
        assert reason is not None
        assert field in reason
        assert hall.door.holder("p") is None


@pytest.mark.parametrize("missing", ["contract", "project_dir", "claude_pid"])
async def test_what_is_missing_in_an_attach_is_named(missing: str) -> None:
    params = attach_params()
    del params[missing]
    async with open_hall() as hall, hall.shim() as shim:
        answer = await shim.call("attach", **params)
        assert f"`{missing}`" in answer["error"]["message"]
        assert (await shim.closed())[0] == 4005


async def test_members_of_a_later_contract_are_ignored() -> None:
    async with open_hall() as hall, hall.shim() as shim:
        assert "result" in await shim.attach(news=True)


@pytest.mark.parametrize("change", [{}, {"claude_pid": "changed its type"}])
async def test_another_contract_is_closed_with_4004_naming_both(change: dict[str, Any]) -> None:
    async with open_hall() as hall, hall.shim() as shim:
        await shim.ask("attach", **attach_params(contract=7, **change))
        assert await shim.closed() == (
            4004,
            f"agentbridged {__version__} speaks contract {claude.CONTRACT}, "
            "this session 7; reinstall the older of the two",
        )


async def test_attaching_again_is_answered_again() -> None:
    async with open_hall() as hall, hall.shim() as shim:
        first = await shim.attach()
        again = await shim.attach()
        assert again["result"] == first["result"]
        assert again["id"] != first["id"]
        assert hall.bridge.what("seated") == [f"{os.getpid()}/s1"]


async def test_attaching_again_as_another_conversation_renames_the_holder() -> None:
    async with open_hall() as hall, hall.shim() as shim, hall.shim() as newcomer:
        await shim.attach()
        assert "result" in await shim.attach(session_id="s2")
        assert hall.bridge.what("seated") == [f"{os.getpid()}/s1", f"{os.getpid()}/s2"]
        assert hall.bridge.what("unseated") == []
        await newcomer.ask("attach", **attach_params(session_id="s3"))
        code, reason = await newcomer.closed()
        assert code == 4001
        assert reason is not None
        assert " session s2 since " in reason


async def test_attaching_again_to_another_project_is_refused_and_the_seat_kept() -> None:
    async with open_hall() as hall, hall.shim() as shim:
        await shim.attach()
        answer = await shim.attach(project_dir="/work/q")
        assert answer["error"]["message"].endswith("the seat of /work/p; detach first")
        assert hall.door.holder("p") is not None


async def test_a_bad_second_attach_is_an_error_and_the_seat_kept() -> None:
    async with open_hall() as hall, hall.shim() as shim:
        await shim.attach()
        answer = await shim.attach(claude_pid="x")
        assert answer["error"]["code"] == -32602
        assert "result" in await shim.call("status")


async def test_another_contract_in_a_second_attach_is_closed_too() -> None:
    async with open_hall() as hall, hall.shim() as shim:
        await shim.attach()
        await shim.ask("attach", **attach_params(contract=2))
        assert (await shim.closed())[0] == 4004


async def test_a_detached_connection_gives_the_seat_back_and_may_attach_again() -> None:
    async with open_hall() as hall, hall.shim() as shim, hall.shim() as other:
        await shim.attach()
        assert (await shim.call("detach"))["result"] == {}
        assert hall.bridge.what("unseated") == [(f"{os.getpid()}/s1", "it detached")]
        assert "result" in await other.attach(session_id="s2")
        await other.say({"method": "detach"})
        await asyncio.sleep(60)
        assert "result" in await shim.attach(session_id="s3")


async def test_a_detached_connection_may_say_nothing_but_attach() -> None:
    async with open_hall() as hall, hall.shim() as shim:
        await shim.attach()
        await shim.call("detach")
        await shim.ask("status")
        assert (await shim.closed())[0] == 4005


async def test_what_was_asked_before_a_malformed_frame_is_answered_all_the_same() -> None:
    async with open_hall() as hall, hall.shim() as shim:
        await shim.attach()
        asked = [await shim.ask("send", text=f"text {number}") for number in range(5)]
        await shim.say({"no": "json-rpc"})
        for identity in asked:
            assert "result" in await shim.answer(identity)
        assert (await shim.closed())[0] == 4005


async def test_garbage_from_the_holder_ends_its_connection_and_frees_the_seat() -> None:
    async with open_hall() as hall, hall.shim() as shim:
        await shim.attach()
        await shim.ws.send("{")
        code, reason = await shim.closed()
        assert code == 4005
        assert reason is not None
        assert reason.startswith("not JSON")
        assert await hall.bridge.until("unseated") == [
            (f"{os.getpid()}/s1", "its connection ended")
        ]


async def test_an_answer_to_nothing_is_ignored() -> None:
    async with open_hall() as hall, hall.shim() as shim:
        await shim.attach()
        await shim.say({"id": 9, "result": {}})
        await shim.say({"id": 9, "error": {"code": 1, "message": "no"}})
        assert "result" in await shim.call("status")


async def test_reading_never_waits_for_an_answer_and_too_much_at_once_is_refused() -> None:
    async with open_hall() as hall, hall.shim() as shim:
        await shim.attach()
        hall.bridge.gate = asyncio.Event()
        waiting = [await shim.ask("send", text=f"{n}") for n in range(IN_FLIGHT)]
        busy = await shim.call("send", text="one too many")
        assert busy["error"]["data"] == {"kind": "busy"}
        await shim.say({"method": "consumed", "params": {"ids": ["ab-1"], "proof": "tool"}})
        await hall.bridge.until("consumed")
        hall.bridge.gate.set()
        for identity in waiting:
            assert (await shim.answer(identity))["result"]["id"] == "ab-1"
        assert hall.bridge.what("send") == [f"{n}" for n in range(IN_FLIGHT)]


async def test_what_waits_for_an_answer_is_given_up_with_the_connection() -> None:
    async with open_hall() as hall:
        async with hall.shim() as shim:
            await shim.attach()
            hall.bridge.gate = asyncio.Event()
            await shim.ask("send", text="never done")
        await hall.bridge.until("unseated")
        hall.bridge.gate.set()
    assert hall.bridge.what("send") == []


async def test_what_an_evicted_session_still_says_is_not_done() -> None:
    async with open_hall() as hall, hall.shim() as shim, hall.shim() as newcomer:
        await shim.attach()
        await newcomer.attach(session_id="s2", take_over=True)
        await shim.closed()
        assert hall.bridge.what("send") == []


async def test_messages_pushed_while_seating_follow_the_answer() -> None:
    async with open_hall() as hall, hall.shim() as shim:
        hall.bridge.pushes = [
            claude.Message(id=f"ab-{n}", seq=n, text="hi", created_at="2026-01-01T00:00:00Z")
            for n in range(3)
        ]
        answer = await shim.attach()
        assert shim.notes == []
        assert answer["result"]["pending"] == 3
        heard = [await shim.hear() for _ in range(3)]
        assert [message["params"]["id"] for message in heard] == ["ab-0", "ab-1", "ab-2"]
        assert heard[0]["method"] == "message"
