"""Each request of a seated session, and each way it can fail."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw

from agentbridged.claude.requests import Requests
from agentbridged.errors import ConnectionLost, Refused, UnknownBridge
from agentbridged.machines.recovery import Reason, explain
from agentbridged.wire import jsonrpc
from agentbridged.wire.claude import Way, Ways
from tests.claude.hall import open_hall


async def test_a_message_to_codex_is_answered_with_its_id() -> None:
    async with open_hall() as hall, hall.shim() as shim:
        await shim.attach()
        answer = await shim.call("send", text="hello")
        assert answer["result"] == {
            "id": "ab-1",
            "state": "accepted",
            "duplicate": False,
            "note": "",
        }


async def test_string_ids_keep_their_type() -> None:
    async with open_hall() as hall, hall.shim() as shim:
        await shim.attach()
        await shim.say({"id": "6", "method": "status"})
        assert (await shim.hear())["id"] == "6"


async def test_delivered_and_consumed_may_ask_for_an_answer_or_not() -> None:
    async with open_hall() as hall, hall.shim() as shim:
        await shim.attach()
        delivered = {"ids": ["ab-1"], "step": "inbox"}
        consumed = {"ids": ["ab-1"], "proof": "transcript"}
        assert (await shim.call("delivered", **delivered))["result"] == {}
        assert (await shim.call("consumed", **consumed))["result"] == {}
        await shim.say({"method": "delivered", "params": delivered})
        await shim.say({"method": "consumed", "params": consumed})
        assert await hall.bridge.until("consumed", 2) == [["ab-1"]] * 2
        assert hall.bridge.what("delivered") == [["ab-1"]] * 2
        assert shim.notes == []


async def test_interrupt_and_status_are_the_bridges() -> None:
    async with open_hall() as hall, hall.shim() as shim:
        await shim.attach()
        assert (await shim.call("interrupt"))["result"] == {"interrupted": True}
        assert (await shim.call("status"))["result"] == {"id": "p"}


@pytest.mark.parametrize(
    ("method", "params", "field"),
    [
        ("send", {}, "`text`"),
        ("send", {"text": ""}, "$.text"),
        ("send", {"text": 5}, "$.text"),
        ("send", {"text": "x" * 1_000_001}, "$.text"),
        ("send", {"text": "x", "when_busy": "later"}, "$.when_busy"),
        ("send", {"text": "x", "idempotency_key": ""}, "$.idempotency_key"),
        ("send", {"text": "x", "start_thread": "yes"}, "$.start_thread"),
        ("delivered", {"ids": "ab-1", "step": "inbox"}, "$.ids"),
        ("delivered", {"ids": [], "step": "pigeon"}, "$.step"),
        ("consumed", {"ids": []}, "`proof`"),
    ],
)
async def test_bad_params_are_an_error_that_names_the_field(
    method: str, params: dict[str, Any], field: str
) -> None:
    async with open_hall() as hall, hall.shim() as shim:
        await shim.attach()
        error = (await shim.call(method, **params))["error"]
        assert error["code"] == -32602
        assert field in error["message"]
        await shim.say({"method": method, "params": params})
        assert "result" in await shim.call("status")
        assert hall.bridge.what(method) == []


async def test_the_longest_text_comes_through() -> None:
    async with open_hall() as hall, hall.shim() as shim:
        await shim.attach()
        text = "🚀" * 1_000_000
        await shim.ws.send(f'{{"id":99,"method":"send","params":{{"text":"{text}"}}}}')
        assert "result" in await shim.answer(99)
        assert hall.bridge.what("send") == [text]


async def test_an_unknown_method_is_told_so() -> None:
    async with open_hall() as hall, hall.shim() as shim:
        await shim.attach()
        error = (await shim.call("dance"))["error"]
        assert (error["code"], error["message"]) == (-32601, "unknown method 'dance'")
        await shim.say({"method": "dance"})
        assert "result" in await shim.call("status")


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Refused("paused by a person", kind="paused"), "paused"),
        (UnknownBridge("p"), "unknown_bridge"),
        (ConnectionLost("the app-server went away"), "unavailable"),
    ],
)
async def test_a_refusal_says_why_and_of_what_kind(fault: Exception, kind: str) -> None:
    async with open_hall() as hall, hall.shim() as shim:
        await shim.attach()
        hall.bridge.fails = fault
        error = (await shim.call("send", text="hi"))["error"]
        assert error == {"code": -32000, "message": str(fault), "data": {"kind": kind}}


async def test_a_fault_of_ours_shows_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    async with open_hall() as hall, hall.shim() as shim:
        await shim.attach()
        hall.bridge.fails = ZeroDivisionError("secret")
        error = (await shim.call("send", text="hi"))["error"]
        assert error["code"] == -32603
        assert error["message"] == "internal error in agentbridged; `agentbridgectl logs` has it"
        assert "send failed" in caplog.text


@pytest.mark.requirement("S8")
@pytest.mark.parametrize(
    ("code", "reason"),
    [(4002, Reason.EVICTED), (4003, Reason.KILLED), (1012, Reason.DISCONNECTED)],
)
async def test_a_session_that_lost_the_seat_is_refused_in_the_words_of_the_one_table(
    code: int, reason: Reason
) -> None:
    async with open_hall() as hall, hall.shim() as shim:
        await shim.attach()
        session = hall.bridge.session
        assert session is not None
        session.seated, session.verdict = False, (code, "taken over by pid 7")
        requests = Requests(hall.bridge, session)
        await requests.answer(jsonrpc.Request(9, "send", Raw(b'{"text":"hello"}')))
        error = (await shim.answer(9))["error"]
        assert error["message"] == f"nothing was done. {explain(reason, 'taken over by pid 7')}"
        assert error["data"] == {"kind": reason.value}
        assert hall.bridge.what("send") == []


async def test_what_did_not_get_through_is_told_with_its_reason() -> None:
    async with open_hall() as hall, hall.shim() as shim:
        await shim.attach()
        tried = {"ids": ["ab-1"], "step": "inbox", "result": "missing", "detail": "none named"}
        assert (await shim.call("tried", **tried))["result"] == {}
        assert hall.bridge.what("tried") == [(["ab-1"], "inbox", "missing", "none named")]


async def test_the_ways_that_a_session_tells_are_kept_with_it() -> None:
    async with open_hall() as hall, hall.shim() as shim:
        await shim.attach()
        way = {"step": "inbox", "state": "off", "why": "none named"}
        answer = await shim.call("ways", claude_version="2.1.330", ways=[way])
        assert answer["result"] == {}
        session = hall.bridge.session
        assert session is not None
        assert session.ways == Ways(
            claude_version="2.1.330", ways=[Way(step="inbox", state="off", why="none named")]
        )
