"""
What the two programs themselves have kept: Codex's rollout files, Claude Code's transcripts.

Both are JSON lines that only grow; each file is read on from where the last look ended.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.lab.scripted import Json
from tests.soak.books import NONCE, Books
from tests.soak.models import FROM_CODEX

REACHED = {"queued_command", "hook_additional_context"}
"""Attachments that the model is given."""
ENDS = {"task_complete": "completed", "turn_aborted": "interrupted"}


class Files:
    """The lines of all files that fit, each given once."""

    def __init__(self, root: Path, pattern: str) -> None:
        self._root, self._pattern = root, pattern
        self._read: dict[Path, int] = {}

    def news(self) -> Iterator[tuple[Path, Json]]:
        """Give what was added since the last look; a half-written line waits."""
        for path in sorted(self._root.glob(self._pattern)):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    self._read[path] = self._read.get(path, 0) + len(line)
                    if b"nonce-" in line or b"turn_aborted" in line or b"task_complete" in line:
                        yield path, json.loads(line)


class Truth:
    """Reads both, and writes into the books what they prove."""

    def __init__(self, books: Books, codex_home: Path, claude_dir: Path) -> None:
        self._books = books
        self._rollouts = Files(codex_home / "sessions", "**/rollout-*.jsonl")
        self._transcripts = Files(claude_dir / "projects", "*/*.jsonl")
        self._turn_of: dict[str, str] = {}
        self._ends: dict[str, str] = {}
        self._kept: dict[str, Counter[str]] = {}

    def look(self) -> None:
        """Read what is new."""
        for path, line in self._rollouts.news():
            self._rollout(path.stem[-36:], line.get("type", ""), line.get("payload") or {})
        for nonce, turn in self._turn_of.items():
            if mail := self._books.get(nonce):
                mail.ended = self._ends.get(turn, "")
        for path, line in self._transcripts.news():
            self._transcript(path.stem, line)

    def _rollout(self, thread: str, kind: str, payload: Json) -> None:
        if kind == "event_msg" and payload.get("type") in ENDS:
            self._ends[str(payload.get("turn_id"))] = ENDS[payload["type"]]
        elif kind == "event_msg" and payload.get("type") == "item_completed":
            item = payload.get("item") or {}
            if item.get("type") == "AgentMessage":
                self._codex_said(item, str(payload.get("turn_id")))
            elif item.get("type") == "UserMessage":
                kept = self._kept.setdefault(thread, Counter())
                kept.update(set(NONCE.findall(json.dumps(item.get("content")))))
                self._books.sighted("to_codex", thread, kept.elements())

    def _codex_said(self, item: Json, turn: str) -> None:
        for nonce in NONCE.findall(json.dumps(item.get("content")))[:1]:
            self._turn_of[nonce] = turn
            if mail := self._books.get(nonce):
                mail.said = True

    def _transcript(self, session: str, line: Json) -> None:
        attachment = line.get("attachment") or {}
        if line.get("type") == "user" and not line.get("toolUseResult"):
            text = json.dumps(line.get("message"))
        elif line.get("type") == "attachment" and attachment.get("type") in REACHED:
            text = json.dumps(attachment)
        else:
            return
        # One line may hold the same text twice: as it came, and as the model got it.
        for nonce in {nonce for _, nonce in FROM_CODEX.findall(text.replace('\\"', '"'))}:
            if mail := self._books.get(nonce):
                mail.transcribed[session] = mail.transcribed.get(session, 0) + 1
