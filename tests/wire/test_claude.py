"""The contract of ``claude.sock``: what it takes, refuses and writes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from agentbridged.errors import ProtocolError
from agentbridged.wire import claude, jsonrpc


def read(kind: type[Any], **params: Any) -> Any:
    return jsonrpc.params_as(kind, msgspec.Raw(msgspec.json.encode(params)))


def test_an_attach_needs_contract_project_and_pid_only() -> None:
    attach = read(claude.Attach, contract=1, project_dir="/p", claude_pid=42)
    assert attach == claude.Attach(
        contract=1, project_dir="/p", session_id="", claude_pid=42, take_over=False
    )


def test_a_send_waits_in_the_queue_by_default() -> None:
    assert read(claude.Send, text="hi") == claude.Send(
        text="hi", when_busy="queue", idempotency_key=None, start_thread=False
    )


@pytest.mark.parametrize("step", ["inbox", "channel", "stop_hook", "read"])
def test_every_step_of_the_ladder_can_be_told(step: str) -> None:
    assert read(claude.Delivered, ids=["ab-1"], step=step).step == step


@pytest.mark.parametrize("proof", ["transcript", "tool"])
def test_every_proof_can_be_told(proof: str) -> None:
    assert read(claude.Consumed, ids=["ab-1"], proof=proof).proof == proof


def test_a_text_may_have_a_million_characters_and_not_one_more() -> None:
    longest = "é" * claude.TEXT_LIMIT
    assert read(claude.Send, text=longest).text == longest
    with pytest.raises(ProtocolError, match=r"\$\.text"):
        read(claude.Send, text=longest + "x")


def test_a_message_has_all_its_members_on_the_wire_and_says_from_whom() -> None:
    message = claude.Message(id="ab-1", seq=3, text="hi", created_at="2026-01-01T00:00:00Z")
    written = msgspec.json.decode(msgspec.json.encode(message))
    assert written["from"] == "codex"
    assert set(written) >= {"id", "seq", "text", "thread_id", "turn_id", "created_at"}
    assert msgspec.convert(written, claude.Message) == message
