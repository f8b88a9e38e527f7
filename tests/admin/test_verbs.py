"""The verbs, called as the server calls them."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from agentbridged.admin.verbs import VERBS, Caller, call
from agentbridged.errors import ProtocolError, Refused, UnknownBridge, UnknownMessage
from agentbridged.machines import governor
from agentbridged.store import Store
from agentbridged.wire import admin as wire
from agentbridged.wire.jsonrpc import ErrorCode
from tests.admin.desk import SmallDesk


def nothing(_: Callable[[str, dict[str, Any]], bool]) -> None:
    pass


ANNA = Caller("anna (pid 7)", None, nothing)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[SmallDesk]:
    store = Store(tmp_path / "a.db")
    desk = SmallDesk(store)
    store.ensure_bridge("a-1", "/a")
    store.ensure_bridge("b-2", "/b")
    yield desk
    store.close()


async def ask(desk: SmallDesk, method: str, **params: Any) -> Any:
    return await call(desk, ANNA, method, Raw(msgspec.json.encode(params)))


async def test_every_verb_of_the_table_takes_what_it_says(desk: SmallDesk) -> None:
    for method, verb in VERBS.items():
        assert issubclass(verb.params, wire.Params)
        with pytest.raises(ProtocolError, match="no_such_field"):
            await ask(desk, method, no_such_field=1)


async def test_an_unknown_verb_is_answered_with_the_known_ones(desk: SmallDesk) -> None:
    with pytest.raises(ProtocolError, match=r"bridge\.kill, .*status") as caught:
        await ask(desk, "bridge.explode")
    assert caught.value.code == ErrorCode.METHOD_NOT_FOUND


async def test_the_list_of_bridges_says_who_switched_each(desk: SmallDesk) -> None:
    await ask(desk, "bridge.kill", bridge="a-1", reason="lunch")
    answer = await ask(desk, "bridge.list")
    row = answer.bridges[0]
    assert (row["id"], row["state"], row["changed_by"], row["reason"]) == (
        *("a-1", "killed", "anna (pid 7)", "lunch"),
    )
    assert row["changed_at"].endswith("Z")
    assert [row["id"] for row in answer.bridges] == ["a-1", "b-2"]


@pytest.mark.parametrize(
    ("method", "state"),
    [
        *(("bridge.kill", "killed"), ("bridge.revive", "active")),
        *(("bridge.pause", "paused"), ("bridge.resume", "active")),
    ],
)
async def test_bridges_are_switched_one_by_one_or_all(
    desk: SmallDesk, method: str, state: str
) -> None:
    one = await ask(desk, method, bridge="/b")
    assert [(row.id, row.state) for row in one.bridges] == [("b-2", state)]
    both = await ask(desk, method, all=True)
    assert [(row.id, row.state) for row in both.bridges] == [("a-1", state), ("b-2", state)]
    with pytest.raises(UnknownBridge):
        await ask(desk, method, bridge="nowhere")
    with pytest.raises(ProtocolError, match="`bridge` or `project_dir` is required"):
        await ask(desk, method)


async def test_what_the_governor_paused_no_agent_resumes(desk: SmallDesk) -> None:
    desk.store.set_bridge_state("a-1", "paused", by=governor.BY, reason="20 messages")
    desk.agents = [os.getpid()]
    agent = Caller("anna (pid 7)", os.getpid(), nothing)
    for params in ({"bridge": "a-1"}, {"all": True}):
        with pytest.raises(Refused, match="only a person can resume what the governor paused"):
            await call(desk, agent, "bridge.resume", Raw(msgspec.json.encode(params)))
    assert [row.state for row in desk.store.bridges()] == ["paused", "active"]
    desk.store.set_bridge_state("a-1", "paused", by="anna")
    await call(desk, agent, "bridge.resume", Raw(msgspec.json.encode({"bridge": "a-1"})))
    desk.store.set_bridge_state("a-1", "paused", by=governor.BY, reason="20 messages")
    await ask(desk, "bridge.resume", bridge="a-1")
    assert [row.state for row in desk.store.bridges()] == ["active", "active"]


async def test_a_send_makes_the_bridge_of_a_new_project_but_of_no_unknown_id(
    desk: SmallDesk, tmp_path: Path
) -> None:
    sent = await ask(desk, "message.send", project_dir=str(tmp_path), text="hello")
    assert desk.store.bridge(sent.bridge) is not None
    row = desk.store.message(sent.id)
    assert row is not None
    assert (row.text, row.sender, row.direction) == ("hello", "person", "to_codex")
    with pytest.raises(UnknownBridge):
        await ask(desk, "message.send", bridge="nowhere", text="hello")


async def test_a_send_can_go_to_claude_and_the_same_key_is_the_same_message(
    desk: SmallDesk,
) -> None:
    params = {"bridge": "a-1", "text": "hi", "to": "claude", "idempotency_key": "k"}
    first = await ask(desk, "message.send", **params)
    again = await ask(desk, "message.send", **params)
    assert (first.id, first.duplicate, again.duplicate) == (again.id, False, True)
    assert [m.id for m in desk.store.undelivered("a-1", "to_claude")] == [first.id]


async def test_a_refused_send_says_so(desk: SmallDesk) -> None:
    await ask(desk, "bridge.kill", bridge="a-1")
    with pytest.raises(Refused, match="killed"):
        await ask(desk, "message.send", bridge="a-1", text="hello")


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"text": ""}, r"\$\.text"),
        ({"text": "x", "to": "both"}, r"\$\.to"),
        ({"text": "x", "when_busy": "now"}, r"\$\.when_busy"),
        ({"text": "x", "idempotency_key": ""}, r"\$\.idempotency_key"),
        ({"text": "x", "start_thread": 1}, r"\$\.start_thread"),
        ({}, "text"),
    ],
)
async def test_a_bad_send_names_the_field_and_sends_nothing(
    desk: SmallDesk, params: dict[str, Any], field: str
) -> None:
    with pytest.raises(ProtocolError, match=field):
        await ask(desk, "message.send", bridge="a-1", **params)
    assert desk.store.history("a-1") == []


async def test_messages_are_listed_as_every_door_shows_them(desk: SmallDesk) -> None:
    sent = await ask(desk, "message.send", bridge="a-1", text="hello")
    await ask(desk, "message.send", bridge="b-2", text="elsewhere")
    answer = msgspec.to_builtins(await ask(desk, "message.list", bridge="a-1"))
    (row,) = answer["messages"]
    assert {k: row[k] for k in ("id", "seq", "bridge", "from", "text", "state")} == {
        **{"id": sent.id, "seq": 1, "bridge": "a-1", "from": "person"},
        **{"text": "hello", "state": "accepted"},
    }
    assert set(row) == {
        *("id", "seq", "bridge", "direction", "from", "text", "state", "thread_id", "turn_id"),
        *("created_at", "changed_at", "in_reply_to", "prompts"),
    }
    everything = await ask(desk, "message.list")
    assert [m.text for m in everything.messages] == ["hello", "elsewhere"]
    with pytest.raises(ProtocolError, match="before_seq"):
        await ask(desk, "message.list", before_seq=3)


async def test_a_list_too_long_to_send_leaves_out_the_oldest(desk: SmallDesk) -> None:
    for n in range(10):
        desk.store.add(bridge="a-1", direction="to_codex", sender="claude", text=str(n) * 1_000_000)
    answer = await ask(desk, "message.list", bridge="a-1")
    assert answer.truncated
    assert [m.text[0] for m in answer.messages] == ["2", "3", "4", "5", "6", "7", "8", "9"]


async def test_search_looks_in_one_bridge_or_all(desk: SmallDesk) -> None:
    await ask(desk, "message.send", bridge="a-1", text="needle one")
    await ask(desk, "message.send", bridge="b-2", text="needle two")
    assert len((await ask(desk, "message.search", query="needle")).messages) == 2
    (found,) = (await ask(desk, "message.search", query="needle", bridge="b-2")).messages
    assert found.text == "needle two"


async def test_a_message_is_explained_with_its_tries_and_its_answers(desk: SmallDesk) -> None:
    sent = await ask(desk, "message.send", bridge="a-1", text="hello")
    desk.store.advance([sent.id], "consumed", step="queue", turn_id="u")
    reply, _ = desk.store.add(
        bridge="a-1", direction="to_claude", sender="codex", text="hi", turn_id="u"
    )
    answer = await ask(desk, "message.explain", id=sent.id)
    assert answer.message.id == sent.id
    assert [(a.step, a.result) for a in answer.attempts] == [("queue", "ok")]
    assert reply.id in answer.story
    with pytest.raises(UnknownMessage):
        await ask(desk, "message.explain", id="ab-none")


async def test_the_seat_the_settings_and_the_end_are_the_desks_to_give(desk: SmallDesk) -> None:
    desk.held = True
    assert (await ask(desk, "seat.release", bridge="a-1")).released
    assert not (await ask(desk, "seat.release", bridge="a-1")).released
    assert await ask(desk, "config.reload") == {"changed": []}
    assert await ask(desk, "shutdown") == {}
    assert desk.stopped.is_set()
