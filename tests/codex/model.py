"""
A model of Codex 0.169.0 with one thread: its queue, its turns, and what a client hears of them.

As little as a delivery can meet, each rule as it was measured. Requests of a connection are
answered in order; what is heard and what is answered share one wire, so the order holds. Nothing
happens by itself: a test says when a request is read, when a frame arrives, when a turn goes on.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosedError

from agentbridged.codex.client import AppServerClient
from agentbridged.errors import CodexError
from agentbridged.wire import codex, jsonrpc
from agentbridged.wire.jsonrpc import Id

THREAD = "th"
OVERLOADED = CodexError(codex.OVERLOADED, "Server overloaded; retry later.")


def refuse(text: str) -> CodexError:
    return CodexError(-32600, text)


@dataclass
class Said:
    """A user message: who sent it (``None``: a person), and what it says."""

    id: str | None
    text: str


@dataclass
class ModelTurn:
    """A turn: what it has shown, and what it has taken in and not shown yet."""

    id: str
    unshown: list[Said]
    status: str = "inProgress"
    items: list[dict[str, Any]] = field(default_factory=list)
    started: int = field(default_factory=lambda: int(time.time()))
    """Unix seconds, whole ones as Codex has them."""

    def told(self, view: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "status": self.status,
            "startedAt": self.started,
            "items": list(self.items) if view == "full" else [],
        }


class Codex:
    """The app-server with its one thread; everything in it but ``loaded`` outlives its process."""

    def __init__(self, cwd: str, file: Path, *, has_queue: bool) -> None:
        self.cwd = cwd
        self.file = file
        """The thread's history, as the next of its processes gives it to its model."""
        file.touch()
        self.has_queue = has_queue
        self.queue: list[tuple[str, Said]] = []
        self.paused = False
        self.leaving: Said | None = None
        """It has left the queue, and its turn has not begun."""
        self.turns: list[ModelTurn] = []
        self.answers: list[str] = []
        """All that Codex said and means for Claude, in order."""
        self.swallowed = False
        """A turn was stopped before it had shown all that it had taken in."""
        self.noted: list[str] = []
        """The ids of the messages in the history, in order."""
        self.never_shown: list[str] = []
        """Those of them that no turn shows, and never will."""
        self.waits_for_ever: set[str] = set()
        """Entries that were put into a queue known to be paused: who put them is to start them."""
        self.loaded = True
        self.wire: Wire | None = None
        self._count = 0

    @property
    def running(self) -> ModelTurn | None:
        newest = self.turns[-1] if self.turns else None
        return newest if newest is not None and newest.status == "inProgress" else None

    # What a person and the model do

    def opens(self) -> None:
        """A person resumes the thread in a TUI, if it is not loaded."""
        if not self.loaded:
            self.loaded = True
            self._tell("thread/started", thread=self._on_thread_read({})["thread"])

    def types(self, said: Said) -> None:
        """``turn/start``: on a running turn it is a steer."""
        if self.running is not None:
            self.running.unshown.append(said)
        else:
            self._begin(said)

    def shows(self) -> None:
        """The running turn shows the next message that it took in."""
        assert self.running is not None
        said = self._notes()
        content = [{"type": "text", "text": said.text}]
        self._item({"type": "userMessage", "clientId": said.id, "content": content})

    def _notes(self) -> Said:
        """The running turn notes the next message in the history, and is about to show it."""
        assert self.running is not None
        said = self.running.unshown.pop(0)
        payload = {
            "role": "user",
            "content": [{"type": "input_text", "text": said.text}],
            "internal_chat_message_metadata_passthrough": {"turn_id": self.running.id},
        }
        with self.file.open("ab") as file:
            file.write(msgspec.json.encode({"type": "response_item", "payload": payload}) + b"\n")
        self.noted += [said.id] if said.id else []
        return said

    def answers_with(self, text: str) -> None:
        self.answers.append(text)
        self._item({"type": "agentMessage", "text": text, "phase": "final_answer"})

    def ends(self, status: str) -> None:
        """The running turn ends; after a stop the queue is paused until a turn completes."""
        turn = self.running
        assert turn is not None
        assert status == "interrupted" or not turn.unshown
        self.swallowed |= bool(turn.unshown)
        turn.status, turn.unshown = status, []
        self.paused = status == "interrupted" or (self.paused and status != "completed")
        self._status("idle")
        self._tell("turn/completed", turn=turn.told("summary"))

    def takes_next(self) -> None:
        """The head of the queue leaves it; its turn begins a moment later."""
        if self.loaded and self.queue and not self.paused and not self.busy:
            _, self.leaving = self.queue.pop(0)

    def begins_next(self) -> None:
        if self.leaving is not None:
            said, self.leaving = self.leaving, None
            self.types(said)

    @property
    def busy(self) -> bool:
        return self.running is not None or self.leaving is not None

    def dies(self, *, noting: bool = False) -> None:
        """``kill -9``: the running turn is stopped, and nothing is loaded until it is resumed."""
        self.begins_next()
        if self.running is not None:
            self.wire = None
            if noting and self.running.unshown:
                said = self._notes()
                self.never_shown += [said.id] if said.id else []
            self.ends("interrupted")
            self.paused = False
        self.loaded, self.wire = False, None

    def _begin(self, said: Said) -> None:
        self._count += 1
        turn = ModelTurn(f"t{self._count}", [said])
        self.turns.append(turn)
        self._status("active")
        self._tell("turn/started", turn=turn.told("summary"))

    def _item(self, item: dict[str, Any]) -> None:
        assert self.running is not None
        self._count += 1
        shown = {"id": f"i{self._count}", **item}
        self.running.items.append(shown)
        self._tell("item/completed", turnId=self.running.id, item=shown)

    def _status(self, status: str) -> None:
        self._tell("thread/status/changed", status={"type": status})

    def _tell(self, method: str, **params: Any) -> None:
        everybody = method in ("thread/started", "thread/status/changed")
        if self.wire is not None and (everybody or self.wire.subscribed):
            self.wire.frames.append({"method": method, "params": {"threadId": THREAD, **params}})

    # What a client asks

    def answer(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Do what is asked, and return the result; raises :exc:`CodexError`."""
        if params.get("threadId", THREAD) != THREAD:
            raise refuse(f"thread not found: {params['threadId']}")
        if method.startswith("thread/queue/") and not self.has_queue:
            raise refuse(f"Invalid request: unknown variant `{method}`")
        if method == "thread/loaded/list":
            return {"data": [THREAD] if self.loaded else []}
        if method in ("thread/resume", "thread/unsubscribe") and self.wire is not None:
            self.wire.subscribed = method == "thread/resume"
            self.loaded = True
        verb = method.replace("/", "_")
        return dict(getattr(self, f"_on_{verb}")(params))

    def _on_thread_read(self, params: dict[str, Any]) -> dict[str, Any]:
        status = "notLoaded" if not self.loaded else "active" if self.running else "idle"
        thread = {"id": THREAD, "cwd": self.cwd, "path": str(self.file)}
        return {"thread": {**thread, "status": {"type": status}}}

    _on_thread_resume = _on_thread_unsubscribe = _on_thread_read

    def _on_thread_turns_list(self, params: dict[str, Any]) -> dict[str, Any]:
        newest_first = self.turns[::-1]
        begin = int(params["cursor"] or 0)
        end = begin + params["limit"]
        page = [turn.told(params["itemsView"]) for turn in newest_first[begin:end]]
        return {"data": page, "nextCursor": str(end) if end < len(newest_first) else None}

    def _on_thread_queue_list(self, params: dict[str, Any]) -> dict[str, Any]:
        return {"data": [{"id": e, "clientUserMessageId": said.id} for e, said in self.queue]}

    def _on_thread_queue_add(self, params: dict[str, Any]) -> dict[str, Any]:
        self._must_be_loaded()
        self._count += 1
        entry, id = f"q{self._count}", params["clientUserMessageId"]
        self.queue.append((entry, Said(id, params["input"][0]["text"])))
        if self.paused and not self.busy and params["told"]:
            self.waits_for_ever.add(entry)
        return {"queuedSubmission": {"id": entry, "clientUserMessageId": id}}

    def _on_thread_queue_start(self, params: dict[str, Any]) -> dict[str, Any]:
        for place, (entry, said) in enumerate(self.queue):
            if entry == params["queuedSubmissionId"] and not self.busy:
                del self.queue[place]
                self.leaving = said
                return {}
        raise refuse("no such queued submission, or a turn is running")

    def _on_turn_start(self, params: dict[str, Any]) -> dict[str, Any]:
        self._must_be_loaded()
        self.begins_next()
        self.types(Said(params["clientUserMessageId"], params["input"][0]["text"]))
        return {"turn": self.turns[-1].told("notLoaded")}

    def _on_turn_steer(self, params: dict[str, Any]) -> dict[str, Any]:
        self._must_run(params["expectedTurnId"])
        self.types(Said(params["clientUserMessageId"], params["input"][0]["text"]))
        return {}

    def _on_turn_interrupt(self, params: dict[str, Any]) -> dict[str, Any]:
        self._must_run(params["turnId"])
        self.ends("interrupted")
        return {}

    def _must_be_loaded(self) -> None:
        if not self.loaded:
            raise refuse("thread not found")

    def _must_run(self, turn_id: str) -> None:
        if self.running is None or self.running.id != turn_id:
            raise refuse("no active turn to steer")


class Wire:
    """One connection to it, as a real client needs it; both its ends are in a test's hand."""

    def __init__(self, server: Codex) -> None:
        self.server = server
        self.client = AppServerClient(cast(ClientConnection, self))
        self.requests: deque[tuple[Id, str, dict[str, Any]]] = deque()
        self.frames: deque[dict[str, Any]] = deque()
        self.subscribed = False
        self.is_open = True
        self.active = False
        """Whether a turn runs, as far as the client was told."""
        self.paused = False
        """Whether the last turn was stopped, as far as the client was told."""
        self._arrived: asyncio.Queue[str | None] = asyncio.Queue()
        server.wire = self

    # What a client does with a connection

    async def send(self, frame: str, *, text: bool) -> None:
        if not self.is_open:
            raise ConnectionClosedError(None, None)
        request = jsonrpc.decode(frame)
        assert isinstance(request, jsonrpc.Request)
        params = msgspec.json.decode(request.params)
        starts = request.method == "turn/start"
        assert not (starts and self.active), "turn/start on an active thread"
        self.requests.append((request.id, request.method, {**params, "told": self.paused}))

    async def __aiter__(self) -> AsyncIterator[str]:
        while (frame := await self._arrived.get()) is not None:
            yield frame

    # What happens to it

    def read_request(self, error: CodexError | None = None) -> None:
        """Codex reads the next request, and answers it; with this error it does nothing else."""
        id, method, params = self.requests.popleft()
        try:
            if error is not None:
                raise error
            outcome: dict[str, Any] = {"result": self.server.answer(method, params)}
        except CodexError as refusal:
            outcome = {"error": {"code": refusal.code, "message": str(refusal)}}
        self.frames.append({"id": id, **outcome})

    def deliver(self) -> None:
        """The next frame arrives."""
        frame = self.frames.popleft()
        told = {**frame.get("params", {}), **frame.get("result", {})}
        status = told.get("status") or told.get("thread", {}).get("status")
        if status:
            self.active = status["type"] == "active"
        if "method" in frame and "turn" in told:
            self.paused = told["turn"]["status"] == "interrupted"
        self._arrived.put_nowait(msgspec.json.encode(frame).decode())

    def cut(self, *, read: int) -> None:
        """It breaks: Codex has read so many of the requests, and nothing arrives any more."""
        for _ in range(min(read, len(self.requests))):
            self.read_request()
        self.is_open = False
        if self.server.wire is self:
            self.server.wire = None
        self.frames.clear()
        self.requests.clear()
        self._arrived.put_nowait(None)
