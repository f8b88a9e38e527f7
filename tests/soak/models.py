"""
The two models of a soak: they send, answer, and write down what they were shown.

Claude's calls the tool for several messages in one reply, again and again while the traffic runs;
Codex's answers each turn with a few messages. Neither keeps a request: there are thousands.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.lab import claude
from tests.lab.anthropic import MessagesModel, texts_of
from tests.lab.responses import ResponsesModel, Step, text_of
from tests.lab.scripted import Json
from tests.soak.books import NONCE, Books, Fate, Mail

WINDOW = 16
"""Messages on their way to one Codex before its Claude sends no more."""
MOST_AT_ONCE = 8
"""Calls in one reply of Claude's model."""
CALLS_PER_SECOND = 1.6
"""Of both sessions together: a Codex TUI that is told much more draws ever further behind."""
STEERS, INTERRUPTS = 0.03, 0.015
"""How many of Claude's messages disturb a running turn, whose answer may be lost by that."""
LONGEST_QUESTION, LONGEST_ANSWER = 40_000, 1_500
"""Characters. A TUI shows a streamed answer line by line, and hears nothing else meanwhile."""
CWD = re.compile(r"<cwd>([^<]*)</cwd>")
FROM_CODEX = re.compile(
    r"<(?:codex|person)-message id=\"[^\"]*\"([^>]*)>\s*(?:\[IMPORTANT\] )?(nonce-\d{6})"
)


class Pace:
    """How many calls may be made now: so many a second in the long run, a few at once."""

    def __init__(self, per_second: float, burst: int) -> None:
        self._per_second, self._burst = per_second, burst
        self._tokens, self._at = float(burst), time.monotonic()
        self._lock = threading.Lock()

    def take(self, wanted: int) -> int:
        """Take as many as there are, *wanted* at most."""
        with self._lock:
            now = time.monotonic()
            grown = self._tokens + (now - self._at) * self._per_second
            self._tokens, self._at = min(grown, self._burst), now
            taken = min(wanted, int(self._tokens))
            self._tokens -= taken
            return taken


class Traffic:
    """What both models go by."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self.pace = Pace(CALLS_PER_SECOND, 2 * MOST_AT_ONCE)
        self.open = threading.Event()
        """Set while new messages are sent."""
        self.slowly = 0.15
        """How many of Codex's turns take a while."""

    def filler(self, longest: int) -> str:
        """Give some words; at times many, in characters *longest* at most."""
        dice = self.books.dice
        if dice.random() < 0.02:
            return "x" * dice.randrange(longest)
        return "w " * dice.randrange(12)


class SoakMessages(MessagesModel):
    """Claude's model."""

    def __init__(self, traffic: Traffic, config_dir: Path) -> None:
        super().__init__()
        self._traffic, self._config_dir = traffic, config_dir
        self._project_of: dict[str, str] = {}
        self.turns = 0

    def record(self, request: Json) -> None:
        """Keep nothing: :meth:`choose` has written down what matters."""

    def choose(self, session: str, body: Json) -> list[str]:
        """Write down what is new in this request, and go on."""
        if not body.get("tools"):
            return super().choose(session, body)
        messages = body.get("messages", [])
        project = self._project(session)
        self.turns += 1
        shown = [m for text in texts_of(messages) for m in FROM_CODEX.findall(text)]
        marked = [nonce for attributes, nonce in shown if "repeat=" in attributes]
        self._traffic.books.sighted("to_claude", session, [n for _, n in shown], marked)
        answered = self._settle(messages)
        calls = [] if answered and self._dice() < 0.7 else self._calls(project)
        return calls or ["!say ok"]

    def _dice(self) -> float:
        return self._traffic.books.dice.random()

    def _project(self, session: str) -> str:
        """Find where a session works: Claude Code keeps that, and does not always say it here."""
        if session not in self._project_of:
            records = [claude.record(path) for path in (self._config_dir / "sessions").iterdir()]
            mine = [record for record in records if record.get("sessionId") == session]
            assert mine, f"Claude Code keeps a record of session {session}"
            self._project_of[session] = str(mine[0]["cwd"])
        return self._project_of[session]

    def _settle(self, messages: list[Json]) -> bool:
        """Write down what the calls were answered; says whether there were any."""
        keys = dict(_keys(messages))
        found = False
        for block in _newest(messages):
            if block.get("type") == "tool_result" and block.get("tool_use_id") in keys:
                found = True
                fate, reason = _fate(block)
                self._traffic.books.answered(keys[block["tool_use_id"]], fate, reason)
        return found

    def _calls(self, project: str) -> list[str]:
        books = self._traffic.books
        sends = books.take_again(project, MOST_AT_ONCE)
        if self._traffic.open.is_set() and books.waiting(project, "to_codex") < WINDOW:
            wanted = max(0, books.dice.randint(2, MOST_AT_ONCE) - len(sends))
            count = self._traffic.pace.take(wanted)
            new = (
                books.write(project, "to_codex", "tool", self._traffic.filler(LONGEST_QUESTION))
                for _ in range(count)
            )
            sends += new
        for mail in sends:
            books.calling(mail)
        return [self._call(mail) for mail in sends]

    def _call(self, mail: Mail) -> str:
        (when_busy,) = self._traffic.books.dice.choices(
            ("queue", "steer", "interrupt"), (1 - STEERS - INTERRUPTS, STEERS, INTERRUPTS)
        )
        return claude.tool(
            "send_to_codex", text=mail.text, idempotency_key=mail.nonce, when_busy=when_busy
        )


def _newest(messages: list[Json]) -> Iterator[Json]:
    """Give the blocks of what came after the model's last reply."""
    for message in reversed(messages):
        if message["role"] == "assistant":
            return
        if isinstance(message.get("content"), list):
            yield from message["content"]


def _keys(messages: list[Json]) -> Iterator[tuple[str, str]]:
    """Give each tool call of ours: its id, and its message's nonce."""
    for message in messages:
        content = message.get("content")
        if message["role"] == "assistant" and isinstance(content, list):
            for block in content:
                key = (block.get("input") or {}).get("idempotency_key")
                if block.get("type") == "tool_use" and key:
                    yield block["id"], key


def _fate(block: Json) -> tuple[Fate, str]:
    content = block.get("content") or ""
    text = content if isinstance(content, str) else "\n".join(c.get("text", "") for c in content)
    if not block.get("is_error"):
        return ("accepted" if text.startswith("ab-") else "unknown"), text[:200]
    if "othing was sent" in text:
        return "refused", text[:200]
    return "unknown", text[:200]


class SoakResponses(ResponsesModel):
    """Codex's model."""

    def __init__(self, traffic: Traffic) -> None:
        super().__init__()
        self._traffic = traffic
        self.turns = 0

    def record(self, request: Json) -> None:
        """Keep nothing."""

    def choose(self, body: Json, user: str, outputs: list[str]) -> list[Step]:
        """Write down what the request shows, and answer it."""
        if (body.get("text") or {}).get("format"):
            return super().choose(body, user, outputs)
        texts = [text_of(i) for i in body.get("input") or [] if i.get("role") == "user"]
        thread = str(body.get("prompt_cache_key"))
        shown = [nonce for text in texts for nonce in set(NONCE.findall(text))]
        self._traffic.books.sighted("to_codex", thread, shown)
        self.turns += 1
        found = next(filter(None, map(CWD.search, texts)), None)
        assert found, "Codex tells its model where it works"
        return list(self._answer(found[1]))

    def _answer(self, project: str) -> Iterator[Step]:
        dice = self._traffic.books.dice
        if dice.random() < self._traffic.slowly:
            yield "pause", str(dice.randrange(50, 800))
        if dice.random() < 0.05:
            yield "commentary", self._new(project, "aside")
        for _ in range(dice.choice((1, 2, 2, 3, 4))):
            urgent = "[IMPORTANT] " if dice.random() < 0.1 else ""
            yield "final", urgent + self._new(project, "final")
        if dice.random() < 0.1:
            yield "say", self._new(project, "last")

    def _new(self, project: str, via: str) -> str:
        return self._traffic.books.write(
            project, "to_claude", via, self._traffic.filler(LONGEST_ANSWER)
        ).text
