"""
A model of Codex 0.169.0 with two threads: their queues and turns, and what a client hears of them.

As little as a delivery can meet, each rule as it was measured. Requests of a connection are
answered in order; what is heard and what is answered share one wire, so the order holds. Nothing
happens by itself: a test says when a request is read, when a frame arrives, when a turn goes on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosedError

from agentbridged.codex.client import AppServerClient
from agentbridged.errors import CodexError
from agentbridged.wire import codex, jsonrpc
from agentbridged.wire.jsonrpc import Id
from tests.codex.model_thread import ModelThread, refuse

THREADS = ("a", "b")
OVERLOADED = CodexError(codex.OVERLOADED, "Server overloaded; retry later.")


class Codex:
    """The app-server with its two threads, of which a person has opened the first."""

    def __init__(self, cwd: str, directory: Path, *, has_queue: bool) -> None:
        self.has_queue = has_queue
        self.wire: Wire | None = None
        self._count = 0
        self.threads = {
            id: ModelThread(id, cwd, directory / id, self._teller(id), self._number)
            for id in THREADS
        }
        self.threads["a"].opens()

    def __getitem__(self, thread_id: str) -> ModelThread:
        return self.threads[thread_id]

    @property
    def all(self) -> list[ModelThread]:
        return list(self.threads.values())

    def dies(self, *, noting: bool = False) -> None:
        """``kill -9``: nobody hears any more what becomes of its threads."""
        self.wire = None
        for thread in self.all:
            thread.dies(noting=noting)

    def subscribed(self, thread: ModelThread) -> bool:
        return self.wire is not None and thread.id in self.wire.subscribed

    def _number(self) -> int:
        self._count += 1
        return self._count

    def _teller(self, thread_id: str) -> Any:
        def tell(method: str, **params: Any) -> None:
            everybody = method in ("thread/started", "thread/status/changed", "thread/closed")
            if self.wire is not None and (everybody or thread_id in self.wire.subscribed):
                params = {"threadId": thread_id, **params}
                self.wire.frames.append({"method": method, "params": params})

        return tell

    def answer(self, wire: Wire, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Do what is asked, and return the result; raises :exc:`CodexError`."""
        if method.startswith("thread/queue/") and not self.has_queue:
            raise refuse(f"Invalid request: unknown variant `{method}`")
        if method == "thread/loaded/list":
            return {"data": [thread.id for thread in self.all if thread.loaded]}
        thread = self.threads.get(params["threadId"])
        if thread is None or thread.created is None:
            raise refuse(f"no rollout found for thread id {params['threadId']}")
        if method == "thread/unsubscribe":
            wire.subscribed.discard(thread.id)
        result = thread.answer(method, params)
        if method == "thread/resume":
            wire.subscribed.add(thread.id)
        return result


class Wire:
    """One connection to it, as a real client needs it; both its ends are in a test's hand."""

    def __init__(self, server: Codex) -> None:
        self.server = server
        self.client = AppServerClient(cast(ClientConnection, self))
        self.requests: deque[tuple[Id, str, dict[str, Any]]] = deque()
        self.frames: deque[dict[str, Any]] = deque()
        self.subscribed: set[str] = set()
        """The threads that it hears all of."""
        self.is_open = True
        self.active: dict[str, bool] = {}
        """Whether a turn runs in a thread, as far as the client was told."""
        self.paused: dict[str, bool] = {}
        """Whether the last turn of a thread was stopped, as far as the client was told."""
        self._arrived: asyncio.Queue[str | None] = asyncio.Queue()
        server.wire = self

    # What a client does with a connection

    async def send(self, frame: str, *, text: bool) -> None:
        if not self.is_open:
            raise ConnectionClosedError(None, None)
        request = jsonrpc.decode(frame)
        assert isinstance(request, jsonrpc.Request)
        params = msgspec.json.decode(request.params)
        thread_id = params.get("threadId")
        starts = request.method == "turn/start"
        assert not (starts and self.active.get(thread_id)), "turn/start on an active thread"
        told = self.paused.get(thread_id, False)
        self.requests.append((request.id, request.method, {**params, "told": told}))

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
            outcome: dict[str, Any] = {"result": self.server.answer(self, method, params)}
        except CodexError as refusal:
            outcome = {"error": {"code": refusal.code, "message": str(refusal)}}
        self.frames.append({"id": id, **outcome})

    def deliver(self) -> None:
        """The next frame arrives."""
        frame = self.frames.popleft()
        told = {**frame.get("params", {}), **frame.get("result", {})}
        told |= {"threadId": told["thread"]["id"], **told["thread"]} if "thread" in told else {}
        if "status" in told:
            self.active[told["threadId"]] = told["status"]["type"] == "active"
        if "method" in frame and "turn" in told:
            self.paused[told["threadId"]] = told["turn"]["status"] == "interrupted"
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
