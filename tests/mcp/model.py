"""
A model of Claude Code 2.1.330: one process, its session, and what the model in it was shown.

As little as a delivery can meet, each rule as it was measured. The inbox takes what it is given
without a word, under its limits, and shows it in an idle session at once, in a running turn after a
tool result, else as the next turn. The hook at a turn's end hands over what it is answered.
``/clear`` makes another session of it. The transcript follows, and after a kill it may lack the
last lines. Nothing happens by itself: a test says when a turn goes on.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentbridged.mcp.inbox import Inbox
from agentbridged.mcp.session import Session

BURST, PER_SECOND, SAME_WITHIN, QUEUED = 30, 0.5, 30.0, 50
"""What its inbox takes; the rest it drops without a word."""
LAG = 0.3
"""Seconds its transcript is behind."""
HELD = "Held peer message — preview: "

_TAG = re.compile(
    r'(?P<again>\[already handed to you[^\n]*\n)?<codex-message id="(?P<id>[^"]+)"'
    r'(?: characters="(?P<start>\d+)-(?P<end>\d+) of \d+")?(?P<repeat> repeat="perhaps[^"]*")?>'
    r"(?P<number>\d*)"
)


@dataclass(frozen=True)
class Shown:
    """A message, or a part of it, before the model."""

    id: str
    number: int
    """Which message of Codex's it is; -1 in the rest of one."""
    way: str
    marked: bool
    """It says of itself that it may be a repeat."""
    part: tuple[int, int] | None
    """Which characters; all of them when :obj:`None`."""


def told(text: str, way: str) -> list[Shown]:
    """Return the messages in a text that the model is shown."""
    found = []
    for tag in _TAG.finditer(text):
        part = (int(tag["start"]), int(tag["end"])) if tag["start"] else None
        found.append(
            Shown(
                tag["id"], int(tag["number"] or -1), way, bool(tag["again"] or tag["repeat"]), part
            )
        )
    return found


@dataclass
class Conversation:
    """What one model was shown, and its transcript; it outlives the process."""

    id: str
    file: Path
    shown: list[Shown] = field(default_factory=list)
    unwritten: list[tuple[dict[str, Any], list[Shown]]] = field(default_factory=list)
    """Lines that are not in the transcript yet, each with what it shows."""
    lost: list[Shown] = field(default_factory=list)
    """Shown before a kill, and never written: the model of a resumed session does not know it."""
    is_late: bool = False
    """Its transcript lags, for longer than is usual."""
    was_hidden: bool = False
    """A server started while it did: what one before it had handed over, nothing told it."""

    def write(self) -> None:
        """Bring the transcript up to date."""
        if not self.unwritten:
            return
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line, _ in self.unwritten)
        self.unwritten.clear()

    def catch_up(self) -> None:
        """Bring it up to date, unless it lags."""
        if not self.is_late:
            self.write()

    def breaks_off(self) -> None:
        """What is not written is gone."""
        for _, shown in self.unwritten:
            self.lost += shown
            self.shown = [one for one in self.shown if not any(one is gone for gone in shown)]
        self.unwritten.clear()


class ClaudeCode:
    """One process of it."""

    def __init__(
        self,
        home: Path,
        pid: int,
        later: Callable[[float, Callable[[], None]], object],
        *,
        resumes: Conversation | None = None,
        has_inbox: bool = True,
        channel: str = "",
    ) -> None:
        """
        *later* is the loop's ``call_later``.

        *channel* is ``open``, ``dropped`` (asked for, and not allowed) or empty.
        """
        self._later = later
        self.pid = pid
        self.home = home
        self.has_inbox = has_inbox
        self.channel = channel
        self.conversations = 0
        self.talk = resumes or self._new_talk()
        self.ended = asyncio.Event()
        self.is_running = False
        """A turn runs."""
        self.queue: list[tuple[str, str]] = []
        """Taken, each by its way, and not shown yet."""
        self.held: list[str] = []
        """Taken, and for the person to let in."""
        self.fate = "taken"
        """Of what the inbox is given: taken, refused, stalled, lost, held."""
        self.guarded: list[str] = []
        """Dropped as too many or as the same again."""
        self.handed: list[Shown] = []
        """All that the present server gave it, in order, whatever became of it."""
        self._room, self._at = float(BURST), 0.0
        self._given: dict[str, float] = {}
        self.record()

    def _new_talk(self) -> Conversation:
        self.conversations += 1
        id = f"s-{self.pid}-{self.conversations}"
        return Conversation(id, self.home / ".claude/projects/-p" / f"{id}.jsonl")

    @property
    def environment(self) -> dict[str, str]:
        """What it starts its servers with."""
        named = {
            "CLAUDE_CODE_MESSAGING_SOCKET": f"/x/{self.pid}.sock",
            "CLAUDE_CODE_MESSAGING_TOKEN": "t",
        }
        own = {"HOME": str(self.home), "CLAUDE_CODE_SESSION_ID": self.talk.id}
        return own | (named if self.has_inbox else {})

    def record(self) -> None:
        """Keep what it says of itself."""
        folder = self.home / ".claude/sessions"
        folder.mkdir(parents=True, exist_ok=True)
        status = "busy" if self.is_running else "idle"
        said = {"sessionId": self.talk.id, "status": status, "peerProtocol": 1}
        (folder / f"{self.pid}.json").write_text(json.dumps(said), encoding="utf-8")

    # What comes in

    def given(self, text: str) -> None:
        """The inbox was given a line."""
        self.handed += told(text, "inbox")
        now = asyncio.get_running_loop().time()
        self._room = min(float(BURST), self._room + (now - self._at) * PER_SECOND)
        self._at = now
        same = now - self._given.get(text, -SAME_WITHIN) < SAME_WITHIN
        if self._room < 1 or same or len(self.queue) >= QUEUED:
            self.guarded.append(text)
            return
        self._room -= 1
        self._given[text] = now
        if self.fate == "held":
            self.held.append(text)
            first = text.partition("\n")[2].partition("\n")[0].replace('"', "")
            self._note({"type": "system", "content": f"{HELD}{first}"})
        elif self.fate != "lost":
            self.takes("inbox", text)

    def notified(self, line: bytes) -> None:
        """The server sent a notification to the channel."""
        text = json.loads(line)["params"]["content"]
        self.handed += told(text, "channel")
        if self.channel == "open":
            self.takes("channel", text)

    def takes(self, way: str, text: str) -> None:
        """Take a text in: an idle session begins a turn with it, a busy one keeps it."""
        self._note({"type": "queue-operation", "operation": "enqueue", "content": text})
        self.queue.append((way, text))
        if not self.is_running:
            self.begins()

    def begins(self) -> None:
        """Begin a turn with what is kept."""
        self.is_running = True
        self.record()
        queued, self.queue = self.queue, []
        for way, text in queued:
            self.shows(way, text, {"type": "user", "message": {"role": "user", "content": text}})

    def joins(self) -> None:
        """What is kept joins the turn that runs, after a tool result."""
        queued, self.queue = self.queue, []
        for way, text in queued:
            prompt = {"type": "queued_command", "prompt": text}
            self.shows(way, text, {"type": "attachment", "attachment": prompt})

    def hears_hook(self, text: str) -> None:
        """The hook at the turn's end had something to say: the turn goes on."""
        context = {"type": "hook_additional_context", "content": [text]}
        self.shows("stop_hook", text, {"type": "attachment", "attachment": context})

    def hears_tool(self, text: str) -> None:
        """A tool call returned."""
        content = [{"type": "tool_result", "content": text}]
        line = {"type": "user", "message": {"role": "user", "content": content}}
        self.shows("read", text, line)

    def types(self) -> None:
        """A person says something."""
        self.is_running = True
        self.record()
        self._note({"type": "user", "message": {"role": "user", "content": "go on"}})
        self._note({"type": "assistant", "message": {"role": "assistant", "content": "yes"}})

    def ends_turn(self) -> None:
        """The turn is over; what is kept begins the next."""
        self.is_running = False
        self.record()
        if self.queue:
            self.begins()

    def clear(self) -> None:
        """The person begins another conversation in the same process."""
        self.talk.write()
        self.talk = self._new_talk()
        self.record()

    def lets_in(self) -> None:
        """The person lets in what was held back."""
        held, self.held = self.held, []
        for text in held:
            self.takes("inbox", text)

    def dies(self, *, noting: bool) -> None:
        """End it; *noting* whether its last lines were written."""
        if noting:
            self.talk.write()
        self.talk.breaks_off()
        self.talk.is_late = False
        self.ended.set()
        (self.home / ".claude/sessions" / f"{self.pid}.json").unlink()

    # What it shows

    def shows(self, way: str, text: str, line: dict[str, Any]) -> None:
        """Put a text before the model."""
        shown = told(text, way)
        self.talk.shown += shown
        self._note(line, shown)

    def _note(self, line: dict[str, Any], shown: list[Shown] | None = None) -> None:
        self.talk.unwritten.append((line, shown or []))
        self._later(LAG, self.talk.catch_up)


class ModelInbox(Inbox):
    """The way into one: what is written arrives whole or not at all."""

    def __init__(self, claude: ClaudeCode) -> None:
        super().__init__(claude.environment)
        self._claude = claude

    async def _send(self, data: bytes) -> None:
        match self._claude.fate:
            case "refused":
                raise ConnectionRefusedError
            case "stalled":
                await asyncio.sleep(3600)
            case _:
                pass
        _, line = data.splitlines()
        self._claude.given(json.loads(line)["message"]["content"])


class ModelSession(Session):
    """The session that started a server, where no process is one."""

    def is_this_process(self, written_to: str, created_at: str) -> bool:
        """No pid is ever used again."""
        return written_to.partition("/")[0] == str(self.pid)
