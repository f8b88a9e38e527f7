"""Arguments of the tools are read strictly, and what is wrong is named."""

from __future__ import annotations

from typing import get_args

import pytest
from msgspec import Raw

from agentbridged.errors import ProtocolError
from agentbridged.mcp import texts
from agentbridged.wire import mcp
from agentbridged.wire.mcp import (
    Arguments,
    BridgeStatus,
    CallTool,
    SendToCodex,
    WaitForMessage,
    arguments_of,
    negotiate,
)


def read(name: str, arguments: bytes) -> Arguments:
    return arguments_of(CallTool(name, Raw(arguments)))


@pytest.mark.parametrize("version", mcp.VERSIONS)
def test_a_version_we_speak_is_echoed(version: str) -> None:
    assert negotiate(version) == version


@pytest.mark.parametrize("version", ["2026-07-28", "1", ""])
def test_another_version_is_answered_with_the_newest_we_speak(version: str) -> None:
    assert negotiate(version) == "2025-11-25"


def test_good_arguments_are_read_with_their_defaults() -> None:
    assert read("send_to_codex", b'{"text":"hi"}') == SendToCodex(text="hi", when_busy="queue")
    assert read("wait_for_message", b'{"timeout_s":0}') == WaitForMessage(timeout_s=0.0)
    assert read("bridge_status", b"") == BridgeStatus()
    assert read("bridge_status", b"null") == BridgeStatus()


@pytest.mark.parametrize(
    ("name", "arguments", "named"),
    [
        ("send_to_codex", b"{}", "text"),
        ("send_to_codex", b'{"text":""}', "text"),
        ("send_to_codex", b'{"text":" \\n "}', "text"),
        ("send_to_codex", b'{"text":["a"]}', "text"),
        ("send_to_codex", b'{"text":"a","when_busy":"now"}', "queue, steer, interrupt"),
        ("send_to_codex", b'{"text":"a","start_thread":1}', "start_thread"),
        ("send_to_codex", b'{"text":"a","idempotency_key":""}', "idempotency_key"),
        ("send_to_codex", b'{"text":"a","colour":1}', "colour"),
        ("read_messages", b'{"limit":1.5}', "limit"),
        ("read_messages", b'{"limit":0}', "limit"),
        ("wait_for_message", b"{}", "timeout_s"),
        ("wait_for_message", b'{"timeout_s":-0.1}', "timeout_s"),
        ("wait_for_message", b'{"timeout_s":true}', "timeout_s"),
        ("wait_for_message", b'{"timeout_s":1e999}', "timeout_s"),
        ("bridge_status", b'{"x":1}', "x"),
        ("interrupt_codex", b"[]", "object"),
        ("attach", b'{"take_over":"yes"}', "take_over"),
        ("no_such_tool", b"{}", "no_such_tool"),
    ],
)
def test_what_is_wrong_is_named(name: str, arguments: bytes, named: str) -> None:
    with pytest.raises(ProtocolError, match=named):
        read(name, arguments)


def test_the_longest_text_is_taken_and_one_character_more_is_not() -> None:
    longest = b'{"text":"' + b"a" * 1_000_000 + b'"}'
    assert isinstance(read("send_to_codex", longest), SendToCodex)
    with pytest.raises(ProtocolError, match="text"):
        read("send_to_codex", longest.replace(b'"}', b'a"}'))


def test_the_tools_that_are_listed_are_those_that_are_read() -> None:
    listed = {tool["name"]: tool["inputSchema"] for tool in texts.TOOLS}
    assert list(listed) == list(mcp.TOOLS)
    for name, kind in mcp.TOOLS.items():
        assert list(listed[name].get("properties", {})) == list(kind.__struct_fields__)
    assert {*mcp.TOOLS.values(), *mcp.HOOKS.values()} == set(get_args(Arguments))


def test_a_hook_may_say_more_than_is_known_here() -> None:
    ended = read("turn_ended", b'{"session_id":"s","stop_hook_active":"true","more":1}')
    assert isinstance(ended, mcp.TurnEnded)
    assert (ended.session_id, ended.again) == ("s", True)
