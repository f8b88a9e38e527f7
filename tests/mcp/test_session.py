"""Which session this is follows Claude Code's own word, not only the environment's."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import psutil
import pytest

from agentbridged.mcp.session import Session, slug, this_session

PID = os.getpid()


def session(home: Path, *, parent: int = PID, **environment: str) -> Session:
    return Session({"HOME": str(home), **environment}, parent=parent, cwd=Path("/p"))


def record(home: Path, pid: int, **content: Any) -> None:
    folder = home / ".claude" / "sessions"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{pid}.json").write_text(json.dumps(content), encoding="utf-8")


def test_the_session_id_follows_clear(tmp_path: Path) -> None:
    ours = session(tmp_path, CLAUDE_CODE_SESSION_ID="old")
    assert ours.id == "old"
    record(tmp_path, PID, sessionId="new")
    assert ours.id == "new"
    assert ours.mark == f"{PID}/new"


def test_a_moment_has_what_the_record_says_at_once(tmp_path: Path) -> None:
    ours = session(tmp_path, CLAUDE_CODE_SESSION_ID="old")
    assert ours.now() == ("old", False, None)
    record(tmp_path, PID, sessionId="new", status="idle", peerProtocol=1)
    assert ours.now() == ("new", True, 1)
    record(tmp_path, PID, sessionId="new", status="busy")
    assert ours.now() == ("new", False, None)


def test_a_live_session_is_recorded(tmp_path: Path) -> None:
    assert not session(tmp_path).is_recorded
    record(tmp_path, PID, sessionId="s")
    assert session(tmp_path).is_recorded


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"sessionId":5}', b"\xff"])
def test_a_strange_record_leaves_the_environments_id(tmp_path: Path, content: bytes) -> None:
    record(tmp_path, PID)
    (tmp_path / ".claude" / "sessions" / f"{PID}.json").write_bytes(content)
    assert session(tmp_path, CLAUDE_CODE_SESSION_ID="old").id == "old"


def test_the_parent_is_claude_code_unless_an_ancestor_owns_the_inbox(tmp_path: Path) -> None:
    grandparent = os.getppid()
    assert session(tmp_path).pid == PID
    behind = session(tmp_path, CLAUDE_CODE_MESSAGING_SOCKET=f"/tmp/cc-socks/{grandparent}.sock")
    assert behind.pid == grandparent
    stranger = session(tmp_path, CLAUDE_CODE_MESSAGING_SOCKET="/tmp/cc-socks/999999999.sock")
    assert stranger.pid == PID
    record(tmp_path, grandparent, sessionId="s")
    assert session(tmp_path).pid == grandparent


def test_the_project_is_the_environments_else_the_directory(tmp_path: Path) -> None:
    assert session(tmp_path).project_dir == Path("/p")
    assert session(tmp_path, CLAUDE_PROJECT_DIR="/q").project_dir == Path("/q")


def test_the_transcript_is_found_by_slug_or_by_id_alone(tmp_path: Path) -> None:
    assert slug("/tmp/a.b_c/é") == "-tmp-a-b-c--"
    ours = session(tmp_path, CLAUDE_PROJECT_DIR="/tmp/a.b")
    assert ours.transcript_of("s-1") is None
    elsewhere = tmp_path / ".claude/projects/-another/s-1.jsonl"
    elsewhere.parent.mkdir(parents=True)
    elsewhere.touch()
    assert ours.transcript_of("s-1") == elsewhere
    expected = tmp_path / ".claude/projects/-tmp-a-b/s-1.jsonl"
    expected.parent.mkdir()
    expected.touch()
    assert ours.transcript_of("s-1") == expected
    assert ours.transcript_of("../s-1") is None
    assert ours.transcript_of("*") is None


def test_a_reused_pid_is_not_this_process(tmp_path: Path) -> None:
    ours = session(tmp_path)
    assert ours.is_this_process(f"{PID}/any", "2099-01-01T00:00:00Z")
    assert not ours.is_this_process(f"{PID}/any", "2001-01-01T00:00:00Z")
    assert not ours.is_this_process("1/any", "2099-01-01T00:00:00Z")
    assert not ours.is_this_process(f"{PID}/any", "yesterday")
    assert psutil.pid_exists(PID)


def test_a_server_is_younger_than_what_was_said_before_it_or_at_an_unknown_time(
    tmp_path: Path,
) -> None:
    ours = session(tmp_path)
    assert ours.is_younger("2001-01-01T00:00:00Z")
    assert not ours.is_younger("2099-01-01T00:00:00Z")
    assert ours.is_younger("yesterday")


def test_this_processes_session_is_that_of_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAUDE_CODE_SESSION_ID", "s-9")
    assert this_session().id == "s-9"
