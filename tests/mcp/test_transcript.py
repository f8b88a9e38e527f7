"""Only what the model was shown is proof; lines are those of Claude Code 2.1.330."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentbridged.mcp import envelope
from agentbridged.mcp.transcript import Transcript, seen_in
from agentbridged.wire.claude import Message

ONE, TWO = "ab-000000000001", "ab-000000000002"
TEXT = f"<cross-session-message>\n{envelope.openings(ONE)[0]}>four\n</codex-message>"


def encoded(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


WOKEN = {"type": "user", "message": {"role": "user", "content": f"Another session:\n{TEXT}"}}
JOINED = {"type": "attachment", "attachment": {"type": "queued_command", "prompt": TEXT}}
BLOCKS = {"type": "user", "message": {"content": [{"type": "tool_result", "content": TEXT}]}}
ASKED = {
    "type": "api-request-blob",
    "message": {"role": "user", "content": [{"type": "text", "text": f"Stop hook: {TEXT}"}]},
}
QUEUED = {"type": "queue-operation", "operation": "enqueue", "content": TEXT}
QUOTED = {"type": "assistant", "message": {"role": "assistant", "content": TEXT}}
ASKED_ABOUT = {"type": "api-request-blob", "message": {"role": "assistant", "content": TEXT}}
ASKED_BADLY = {"type": "api-request-blob", "message": [TEXT]}
OTHER = {"type": "attachment", "attachment": {"type": "prompt_snapshot", "text": TEXT}}
NAMED = {"type": "user", "message": {"content": f"the id {ONE} is in a list"}}


@pytest.mark.parametrize("line", [WOKEN, JOINED, BLOCKS, ASKED])
def test_what_the_model_was_shown_proves_it(line: dict[str, Any]) -> None:
    assert seen_in(encoded(line), [ONE, TWO]).proven == {ONE}


@pytest.mark.parametrize("line", [QUEUED, QUOTED, ASKED_ABOUT, ASKED_BADLY, OTHER, NAMED])
def test_what_waits_or_quotes_or_only_names_it_proves_nothing(line: dict[str, Any]) -> None:
    assert seen_in(encoded(line), [ONE, TWO]).proven == set()


def test_a_part_proves_itself_alone() -> None:
    said = Message(id=ONE, seq=1, text="x" * 50, created_at="", in_reply_to=TWO)
    texts = [envelope.tagged(said, start=s, end=e, repeat=True) for s, e in ((0, 20), (20, 50))]
    head, rest = (
        seen_in(encoded({"type": "user", "message": {"content": text}}), [ONE]) for text in texts
    )
    assert (head.proven, head.heads) == (set(), {ONE: 20})
    assert (rest.proven, rest.heads) == (set(), {})


def test_a_broken_line_proves_nothing() -> None:
    assert seen_in(encoded(WOKEN)[:-9] + b"\n", [ONE]).proven == set()
    assert seen_in(b"\xff" + encoded(WOKEN), [ONE]).proven == set()


def test_a_transcript_is_read_on_from_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes(encoded(WOKEN))
    later = Transcript(path, from_start=False)
    whole = Transcript(path, from_start=True)
    assert later.look([ONE]).proven == set()
    assert whole.look([ONE]).proven == {ONE}
    assert whole.look([ONE]).proven == set()
    with path.open("ab") as file:
        file.write(encoded(JOINED))
    assert later.look([ONE]).proven == {ONE}


def test_a_half_written_line_is_read_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    line = encoded(WOKEN)
    path.write_bytes(line[:50])
    transcript = Transcript(path, from_start=True)
    assert transcript.look([ONE]).proven == set()
    path.write_bytes(line)
    assert transcript.look([ONE]).proven == {ONE}


def test_what_is_skipped_is_not_read_and_a_rewritten_file_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes(encoded(WOKEN) * 3)
    transcript = Transcript(path, from_start=True)
    transcript.skip()
    assert transcript.look([ONE]).proven == set()
    path.write_bytes(encoded(WOKEN))
    assert transcript.look([ONE]).proven == {ONE}


def test_a_file_that_is_gone_proves_nothing(tmp_path: Path) -> None:
    assert Transcript(tmp_path / "none", from_start=True).look([ONE]).proven == set()
