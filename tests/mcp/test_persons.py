"""Whose a prompt is; lines are those of Claude Code 2.1.330."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentbridged.mcp.persons import TAIL, Persons, typed_at
from agentbridged.mcp.session import Session, slug

AT = "2026-11-24T19:35:45.482Z"
THEN = 1795548945.482
HUMAN = {"origin": {"kind": "human"}, "promptSource": "typed"}
PEER = {"isMeta": True, "origin": {"kind": "peer", "name": "codex", "body": "said by a human"}}
TASK = {"origin": {"kind": "task-notification"}, "promptSource": "system"}
CROSS = 'Another Claude session sent a message:\n<cross-session-message from-name="codex">\nhi'
RESULT = [{"tool_use_id": "toolu_1", "type": "tool_result", "content": "from the user"}]


def user(content: Any, **more: Any) -> dict[str, Any]:
    said = {"role": "user", "content": content}
    return {"type": "user", "message": said, "timestamp": AT, **more}


def queued(origin: dict[str, Any] | None) -> dict[str, Any]:
    attachment = {"type": "queued_command", "prompt": "and this", "origin": origin}
    return {"type": "attachment", "attachment": attachment, "timestamp": AT}


def line(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"


@pytest.mark.parametrize(
    "typed",
    [
        user("do it", **HUMAN),
        user([{"type": "text", "text": "see this"}, {"type": "image"}], **HUMAN),
        queued({"kind": "human"}),
        user("typed into an older Claude Code"),
    ],
)
def test_what_a_person_typed_is_known_as_such(typed: dict[str, Any]) -> None:
    assert typed_at(line(typed)) == pytest.approx(THEN)


@pytest.mark.parametrize(
    "other",
    [
        user(CROSS, **PEER),
        user(CROSS),  # an older Claude Code
        queued({"kind": "peer"}),
        queued(None),
        user(RESULT),
        user("<task-notification>done</task-notification>", **TASK),
        user("<command-name>/clear</command-name>"),
        user("<local-command-caveat>The command below", isMeta=True),
        user("a sub-agent's task", isSidechain=True),
        user([{"type": "text", "text": "[Request interrupted by user]"}]),
        {"type": "assistant", "message": {"content": "the user says"}, "timestamp": AT},
        {"type": "queue-operation", "content": "typed", "timestamp": AT, **HUMAN},
        user("no time", timestamp="", **HUMAN),
    ],
)
def test_what_no_person_typed_is_no_word_of_one(other: dict[str, Any]) -> None:
    assert typed_at(line(other)) is None


def test_a_broken_line_is_no_word() -> None:
    assert typed_at(line(user("do it", **HUMAN))[:-9]) is None
    assert typed_at(b'\xff"user"\n') is None


class Keyboard:
    """A session's transcript, written by a test."""

    def __init__(self, home: Path, id: str = "s-1") -> None:
        environment = {"CLAUDE_CONFIG_DIR": str(home), "CLAUDE_CODE_SESSION_ID": id}
        self.session = Session(environment, parent=1, cwd=Path("/p"))
        self.session._pid = 1
        self.path = home / "projects" / slug("/p") / f"{id}.jsonl"
        self.path.parent.mkdir(parents=True)

    def write(self, *entries: dict[str, Any]) -> None:
        with self.path.open("ab") as file:
            file.writelines(map(line, entries))


@pytest.fixture
def keyboard(tmp_path: Path) -> Keyboard:
    return Keyboard(tmp_path)


def at(seconds: int) -> str:
    return f"2026-11-24T19:{35 + seconds // 60}:{seconds % 60:02}.482Z"


def test_the_latest_word_is_told(keyboard: Keyboard) -> None:
    persons = Persons(keyboard.session, since=0)
    assert persons.latest() is None  # there is no transcript yet
    keyboard.write(user("do it", **HUMAN), user(CROSS, **PEER))
    assert persons.latest() == pytest.approx(THEN)
    keyboard.write({**user(CROSS, **PEER), "timestamp": at(50)})
    assert persons.latest() == pytest.approx(THEN)
    keyboard.write({**queued({"kind": "human"}), "timestamp": at(60)})
    assert persons.latest() == pytest.approx(THEN + 15)


def test_a_half_written_line_counts_when_it_is_whole(keyboard: Keyboard) -> None:
    persons = Persons(keyboard.session, since=0)
    whole = line(user("do it", **HUMAN))
    keyboard.path.write_bytes(whole[:40])
    assert persons.latest() is None
    with keyboard.path.open("ab") as file:
        file.write(whole[40:])
    assert persons.latest() is not None


def test_what_was_typed_before_we_came_is_no_word_to_us(keyboard: Keyboard) -> None:
    keyboard.write(user("in the session that is resumed", **HUMAN))
    assert Persons(keyboard.session, since=THEN - 1).latest() is not None
    assert Persons(keyboard.session, since=THEN + 1).latest() is None


def test_of_a_very_long_transcript_only_the_end_is_read(keyboard: Keyboard) -> None:
    keyboard.write(user("long ago", **HUMAN), user("x" * TAIL, **TASK))
    assert Persons(keyboard.session, since=0).latest() is None


def test_a_transcript_that_is_written_anew_is_read_anew(keyboard: Keyboard) -> None:
    persons = Persons(keyboard.session, since=0)
    keyboard.write(user(CROSS, **PEER), user(CROSS, **PEER))
    assert persons.latest() is None
    keyboard.path.write_bytes(line(user("do it", **HUMAN)))
    assert persons.latest() is not None
