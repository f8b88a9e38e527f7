"""A bridge on a Codex of a few threads, which tells what a test says and does nothing by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import msgspec

from agentbridged.bridges.bridge import Bridge
from agentbridged.codex.client import AppServerClient
from agentbridged.config import Governor, Settings
from agentbridged.machines.degradation import Degradations
from agentbridged.store import Store
from agentbridged.wire import codex
from agentbridged.wire.claude import Send
from tests.lab.scripted import Json

Fault = Callable[[str, str], Exception | None]
"""What a method on a thread is refused with, if it is."""


def user(message_id: str | None, item: str) -> Json:
    content = [{"type": "text", "text": "?"}]
    return {"type": "userMessage", "id": item, "clientId": message_id, "content": content}


def agent(text: str, item: str, phase: str | None = "final_answer") -> Json:
    return {"type": "agentMessage", "id": item, "text": text, "phase": phase}


def turn(id: str, *items: Json, status: str = "completed") -> Json:
    return {"id": id, "status": status, "items": list(items), "startedAt": 2e9}


class Small:
    """Its threads, and the client of every connection to it."""

    def __init__(self, *threads: str) -> None:
        self.turns: dict[str, list[Json]] = {id: [] for id in threads}
        self.status = dict.fromkeys(threads, "idle")
        self.queue: dict[str, list[str]] = {id: [] for id in threads}
        self.fault: Fault = lambda method, thread_id: None
        self.degradations = Degradations()

    def note_misread(self, method: str, problem: str) -> None:
        raise AssertionError(f"{method}: {problem}")

    async def call(self, method: str, params: Json, kind: Any) -> Any:
        await asyncio.sleep(0)
        thread_id = params["threadId"]
        if (fault := self.fault(method, thread_id)) is not None:
            raise fault
        return msgspec.convert(self._answer(method, thread_id, params), kind)

    def _answer(self, method: str, thread_id: str, params: Json) -> Json:
        if method in ("thread/read", "thread/resume"):
            status = {"type": self.status[thread_id]}
            return {"thread": {"id": thread_id, "cwd": "/p", "status": status}}
        if method == "thread/turns/list":
            full = params["itemsView"] == "full"
            listed = self.turns[thread_id][::-1][: params["limit"]]
            return {"data": [one if full else {**one, "items": []} for one in listed]}
        entries = [{"id": f"q-{id}", "clientUserMessageId": id} for id in self.queue[thread_id]]
        if method == "thread/queue/list":
            return {"data": entries}
        if method == "thread/queue/add":
            id = params["clientUserMessageId"]
            self.queue[thread_id].append(id)
            return {"queuedSubmission": {"id": f"q-{id}", "clientUserMessageId": id}}
        return {}


class Scene:
    """The bridge, with all that it told."""

    def __init__(self, store: Store, small: Small) -> None:
        self.store, self.small = store, small
        self.notices: list[str] = []
        self.start()

    def start(self) -> None:
        """A daemon begins; what the last one knew is in the store."""
        row = self.store.bridge("p-1")
        assert row is not None
        ungoverned = Settings(governor=Governor(enabled=False))
        self.bridge = Bridge(row, self.store, lambda: ungoverned, self._tell)
        self.side = self.bridge.codex

    def _tell(self, event: str, details: dict[str, Any]) -> None:
        if event == "notice":
            self.notices.append(details["text"])

    def connect(self, *opened: str) -> None:
        """A connection begins, and these threads are open, the last one bound."""
        self.side.gone()
        for thread_id in opened:
            self.side.binding.opened(thread_id)
        self.side.connected(cast(AppServerClient, self.small))

    async def go(self, thread_id: str) -> None:
        """The person goes to a thread."""
        self.side.binding.opened(thread_id)
        self.side.wake()
        await asyncio.sleep(1)

    async def ask(self, text: str) -> str:
        """Claude asks; returns the message's id."""
        id = self.bridge.accept(Send(text=text), sender="claude").id
        await asyncio.sleep(1)
        return id

    def takes(self, thread_id: str, id: str, turn_id: str) -> Json:
        """A thread's queue gives a message to a turn, which runs."""
        self.small.queue[thread_id].remove(id)
        running = turn(turn_id, user(id, f"i-{id}"), status="inProgress")
        self.small.turns[thread_id].append(running)
        self.small.status[thread_id] = "active"
        self.hears(codex.TurnStarted(thread_id, codex.Turn(turn_id)))
        item = codex.Item("userMessage", f"i-{id}", clientId=id)
        self.hears(codex.ItemCompleted(thread_id, turn_id, item))
        return running

    def hears(self, event: codex.Event) -> None:
        if self.side.follows(event.threadId):  # type: ignore[union-attr]  # no ThreadStarted here
            self.side.heard(event)

    def states(self) -> dict[str, str]:
        return {row.text: row.state for row in self.store.history("p-1", limit=100)}


@asynccontextmanager
async def scene(path: Path, *threads: str) -> AsyncIterator[Scene]:
    """A bridge that works at these threads, on none of them yet."""
    store = Store(path / "db")
    store.ensure_bridge("p-1", "/p")
    store.mark_attached("p-1")
    scene = Scene(store, Small(*threads))

    async def work() -> None:
        while True:  # as the daemon's parts: again after a fault
            try:
                await scene.side.run()
            except Exception:
                await asyncio.sleep(5)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(work())
        yield scene
        task.cancel()
    store.close()
