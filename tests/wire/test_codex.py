import pytest
from msgspec import Raw

from agentbridged.errors import ProtocolError
from agentbridged.wire import codex
from agentbridged.wire.codex import (
    Initialized,
    Item,
    ItemCompleted,
    ServerRequest,
    Thread,
    ThreadStatus,
    Turn,
    read_event,
    read_request,
    time_of,
)

COMMAND = "item/commandExecution/requestApproval"


def test_a_notification_we_look_into_is_read_and_what_we_do_not_know_passed_over() -> None:
    raw = Raw(
        b'{"threadId":"t","turnId":"u","later":1,"item":{"type":"agentMessage","id":"i",'
        b'"text":"hi","phase":"final_answer","new":{}}}'
    )
    item = Item("agentMessage", "i", text="hi", phase="final_answer")
    assert read_event("item/completed", raw) == ItemCompleted("t", "u", item)
    assert read_event("item/new", raw) is None


def test_a_notification_of_another_shape_names_method_and_field() -> None:
    with pytest.raises(ProtocolError, match=r"item/completed.*\$\.threadId"):
        read_event("item/completed", Raw(b'{"threadId":1}'))


def test_a_request_keeps_its_ids_type_and_what_it_asks() -> None:
    params = Raw(b'{"threadId":"t","turnId":"u","command":"rm x","availableDecisions":[]}')
    request = read_request("6", COMMAND, params)
    assert (request.id, request.thread_id, request.turn_id) == ("6", "t", "u")
    assert codex.question_in_words(request) == "run the command: rm x"


@pytest.mark.parametrize("params", [b"[]", b"7", b'"x"'])
def test_a_request_of_an_unknown_shape_is_kept_by_its_method(params: bytes) -> None:
    request = read_request(6, "some/new/thing", Raw(params))
    assert request == ServerRequest(6, "some/new/thing")
    assert (request.thread_id, request.turn_id) == ("", None)
    assert "some/new/thing" in codex.question_in_words(request)


@pytest.mark.parametrize(
    ("method", "allowed", "denied"),
    [
        (COMMAND, {"decision": "accept"}, {"decision": "decline"}),
        (
            "item/fileChange/requestApproval",
            {"decision": "accept"},
            {"decision": "decline"},
        ),
        (
            "item/permissions/requestApproval",
            {"permissions": {"network": {}}, "scope": "turn"},
            {"permissions": {}, "scope": "turn"},
        ),
        (
            "mcpServer/elicitation/request",
            None,
            {"action": "decline", "content": None, "_meta": None},
        ),
        ("item/tool/requestUserInput", None, None),
        ("some/new/thing", None, None),
    ],
)
def test_a_yes_or_no_has_its_own_shape_for_each_method(
    method: str, allowed: object, denied: object
) -> None:
    params: dict[str, object] = {"permissions": {"network": {}}}
    assert codex.verdict(method, params, allow=True) == allowed
    assert codex.verdict(method, params, allow=False) == denied


def test_threads_that_no_person_sees_are_hidden() -> None:
    assert Thread("t", ephemeral=True).hidden
    assert Thread("t", parentThreadId="p").hidden
    assert not Thread("t").hidden


def test_a_cursor_names_the_turn_and_its_time() -> None:
    assert Turn("u", "completed", startedAt=7.9).cursor == "u@8"
    assert Turn("u").cursor == "u@0"
    assert [time_of(cursor) for cursor in ("u@8", "u", "", "u@soon")] == [8, 0, 0, 0]
    assert not Turn("u").ended


def test_what_a_user_said_is_the_text_of_its_parts() -> None:
    content = [{"type": "text", "text": "a"}, {"type": "image"}, 7, {"text": 8}, {"text": "b"}]
    assert Item("userMessage", "i", content=content).said == "a\nb"


@pytest.mark.parametrize(
    ("agent", "version"),
    [("agentbridge/0.169.0 (Debian 12; x86_64)", "0.169.0"), ("", ""), ("x/1", "1")],
)
def test_the_version_is_read_from_the_user_agent(agent: str, version: str) -> None:
    assert Initialized(agent).version == version


@pytest.mark.parametrize(
    ("flags", "on"),
    [
        (["waitingOnApproval"], "approval"),
        (["waitingOnUserInput"], "user_input"),
        ([], None),
        (["new"], None),
    ],
)
def test_whom_a_thread_waits_for(flags: list[str], on: str | None) -> None:
    assert codex.waiting_on(ThreadStatus("active", flags)) == on


def test_only_news_of_a_turn_name_one() -> None:
    turn = codex.Turn("u")
    assert codex.turn_of(codex.TurnStarted("t", turn)) == "u"
    assert codex.turn_of(codex.TurnCompleted("t", turn)) == "u"
    assert codex.turn_of(codex.ItemCompleted("t", "u", codex.Item("agentMessage", "i"))) == "u"
    assert codex.turn_of(codex.QueueChanged("t")) is None
