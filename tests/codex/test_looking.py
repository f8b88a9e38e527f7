"""Messages in doubt: where they are found, and what is told of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from agentbridged.codex.client import AppServerClient
from agentbridged.codex.looking import THREAD_FILE, look_for
from agentbridged.codex.side import CodexSide
from agentbridged.codex.thread import headline
from agentbridged.errors import CodexError, Unavailable
from agentbridged.machines.delivery import Enqueue, LookFor
from agentbridged.wire import codex
from tests.codex.answering import IDLE, MAIL, error, memory, side_of

pytestmark = pytest.mark.realtime

Json = dict[str, Any]


def turn(id: str, *message_ids: str, status: str = "completed") -> Json:
    items = [
        {"type": "userMessage", "id": f"i-{message}", "clientId": message, "content": []}
        for message in message_ids
    ]
    return {"id": id, "status": status, "startedAt": 2e9, "items": items}


@dataclass
class Threads:
    """Two threads of an app-server: ``t``, which is bound, and ``left``."""

    turns: dict[str, list[Json]] = field(default_factory=lambda: {"t": [], "left": []})
    status: dict[str, str] = field(default_factory=lambda: {"t": "idle", "left": "idle"})
    queue: dict[str, list[str]] = field(default_factory=lambda: {"t": [], "left": []})
    file: Path | None = None
    refusals: dict[str, Json] = field(default_factory=dict)
    asked: Callable[[str], object] = lambda method: None

    def __call__(self, request: Json) -> Json:
        method, thread_id = request["method"], request["params"]["threadId"]
        if method in self.refusals:
            return self.refusals[method]
        result: Json = {}
        if method == "thread/queue/list":
            result = {
                "data": [{"id": f"q-{i}", "clientUserMessageId": i} for i in self.queue[thread_id]]
            }
        elif method == "thread/turns/list":
            result = {"data": self.turns[thread_id][::-1]}
        elif method == "thread/read":
            status = {"type": self.status[thread_id]}
            path = str(self.file) if self.file else None
            result = {"thread": {"id": thread_id, "status": status, "path": path}}
        self.asked(method)
        return {"result": result}

    def side(
        self, tmp_path: Path
    ) -> AbstractAsyncContextManager[tuple[CodexSide, AppServerClient]]:
        return side_of(tmp_path / "s", self)


def doubt(side: CodexSide, *threads: str, steered: bool = False) -> None:
    """The message may be on these threads."""
    for thread_id in threads:
        memory(side).attempting(MAIL.id, "queue", thread_id)
        memory(side).owing = {thread_id: 0.0}
    side.delivery.found(MAIL.id)
    side.delivery.doubt(replace(MAIL, steered=steered))


async def look(side: CodexSide, client: AppServerClient, times: int = 2) -> object:
    """Look at most so often, as long as it is planned; return what is done next."""
    step = plan(side)
    for _ in range(times):
        if not isinstance(step, LookFor):
            break
        await look_for(side, client, step.ids)
        step = plan(side)
    return step


def plan(side: CodexSide) -> object:
    return side.delivery.plan(IDLE, now=asyncio.get_running_loop().time() + 60)


SENT_AGAIN = Enqueue(MAIL, kick=False)
LOOKED_FOR = LookFor((MAIL.id,))


async def test_what_is_missing_twice_is_sent_again(tmp_path: Path) -> None:
    async with Threads().side(tmp_path) as (side, client):
        doubt(side, "t", "left")
        assert await look(side, client, times=1) == LOOKED_FOR
        assert await look(side, client, times=1) == SENT_AGAIN


async def test_what_is_in_a_queue_or_a_turn_of_any_thread_is_not(tmp_path: Path) -> None:
    there = Threads(turns={"t": [], "left": [turn("u1"), turn("u2", MAIL.id), turn("u3")]})
    async with there.side(tmp_path) as (side, client):
        doubt(side, "t", "left")
        assert await look(side, client) is None
        assert memory(side).states == {MAIL.id: "consumed"}
    there = Threads(queue={"t": ["other"], "left": ["other", MAIL.id]})
    async with there.side(tmp_path) as (side, client):
        doubt(side, "t", "left")
        assert await look(side, client) is None
        assert memory(side).states == {MAIL.id: "written"}


@pytest.mark.parametrize(
    ("status", "steered", "items", "waits"),
    [
        ("active", True, ["other"], True),
        ("active", False, [], True),
        ("active", False, ["other"], False),
        ("idle", True, ["other"], False),  # its app-server was killed: it is listed as running
    ],
)
async def test_what_the_running_turn_of_a_thread_that_was_left_may_show_is_waited_for(
    tmp_path: Path, status: str, steered: bool, items: list[str], waits: bool
) -> None:
    running = turn("u1", *items, status="inProgress")
    there = Threads({"t": [], "left": [running]}, {"t": "idle", "left": status})
    async with there.side(tmp_path) as (side, client):
        doubt(side, "left", steered=steered)
        assert await look(side, client) == (None if waits else SENT_AGAIN)
        assert len(side.delivery) == 1
        if waits:
            running["status"] = "completed"
            side.delivery.recall()
            assert await look(side, client) == SENT_AGAIN


async def test_what_steered_the_running_turn_of_the_bound_thread_waits_for_its_end(
    tmp_path: Path,
) -> None:
    running = turn("u1", "other", status="inProgress")
    there = Threads({"t": [running]}, {"t": "active"})
    async with there.side(tmp_path) as (side, client):
        doubt(side, "t", steered=True)
        assert await look(side, client) is None
        side.heard(codex.TurnCompleted("t", codex.Turn("u1", "completed")))
        running["status"] = "completed"
        assert await look(side, client) == SENT_AGAIN


async def test_a_message_that_was_tried_elsewhere_since_waits_for_no_turn(tmp_path: Path) -> None:
    there = Threads(
        {"t": [], "left": [turn("u1", status="inProgress")]}, {"t": "idle", "left": "active"}
    )
    async with there.side(tmp_path) as (side, client):
        doubt(side, "left", "t")
        assert await look(side, client) == SENT_AGAIN


async def test_a_queue_that_was_to_be_started_is_so_on_a_thread_that_was_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overloaded = error(-32001, "Server overloaded; retry later.")
    asked: list[str] = []
    there = Threads(
        queue={"left": [MAIL.id]}, refusals={"thread/queue/start": overloaded}, asked=asked.append
    )
    async with there.side(tmp_path) as (side, client):
        doubt(side, "left")
        monkeypatch.setattr(side.owner, "kicked", lambda _: True)
        side.turns.started("u1")  # of the bound thread
        with pytest.raises(CodexError):
            await look(side, client)
        assert plan(side) == LOOKED_FOR
        del there.refusals["thread/queue/start"]
        assert await look(side, client) is None
        assert "thread/queue/start" in asked


def history(path: Path, turn_id: str) -> Path:
    """The file of a thread, with the message in it."""
    payload = {
        "role": "user",
        "content": [{"text": headline(MAIL.id)}],
        "internal_chat_message_metadata_passthrough": {"turn_id": turn_id},
    }
    file = path / "rollout.jsonl"
    file.write_text(json.dumps({"type": "response_item", "payload": payload}), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("turn_id", "status", "cut"),
    [
        ("u1", "interrupted", True),
        ("u1", "failed", True),
        ("u1", "inProgress", False),
        ("gone", "inProgress", True),
        ("", "inProgress", True),
    ],
)
async def test_what_is_in_the_history_alone_is_told_as_cut_only_if_its_turn_is_over(
    tmp_path: Path, turn_id: str, status: str, cut: bool
) -> None:
    there = Threads(file=history(tmp_path, turn_id))
    there.turns["t"] = [turn("u1", status=status)]
    async with there.side(tmp_path) as (side, client):
        doubt(side, "t")
        assert await look(side, client) is None
        assert memory(side).states == {MAIL.id: "consumed"}
        assert memory(side).unanswered == [turn_id] * cut


async def test_a_turn_that_begins_while_it_is_looked_for_is_not_taken_for_one_that_was_cut(
    tmp_path: Path,
) -> None:
    there = Threads(file=history(tmp_path, "u1"))

    def begin(method: str) -> None:
        if method == "thread/turns/list":
            there.turns["t"] = [turn("u1", MAIL.id)]

    there.asked = begin
    async with there.side(tmp_path) as (side, client):
        doubt(side, "t")
        assert await look(side, client) is None
        assert memory(side).unanswered == []


async def test_a_file_that_cannot_be_read_is_told_and_holds_up_nothing(tmp_path: Path) -> None:
    async with Threads(file=tmp_path / "none").side(tmp_path) as (side, client):
        doubt(side, "t")
        assert await look(side, client) == SENT_AGAIN
        (lack,) = client.degradations.all()
        assert lack.method == THREAD_FILE
        assert "may come twice" in lack.instead


async def test_a_codex_that_tells_less_of_a_thread_is_believed_in_what_it_tells(
    tmp_path: Path,
) -> None:
    there = Threads(file=history(tmp_path, "u1"))
    there.refusals["thread/read"] = error(-32601, "no such method")
    async with there.side(tmp_path) as (side, client):
        doubt(side, "t")
        assert await look(side, client) == SENT_AGAIN


@pytest.mark.parametrize("method", ["thread/queue/list", "thread/read", "thread/turns/list"])
async def test_an_app_server_that_does_not_tell_now_leaves_the_message_in_doubt(
    tmp_path: Path, method: str
) -> None:
    there = Threads(refusals={method: error(-32001, "Server overloaded; retry later.")})
    async with there.side(tmp_path) as (side, client):
        doubt(side, "t")
        for _ in range(2):
            with pytest.raises(Unavailable):
                await look(side, client)
        there.refusals.clear()
        assert await look(side, client, times=1) == LOOKED_FOR


async def test_a_thread_that_is_no_more_holds_no_message(tmp_path: Path) -> None:
    gone = error(-32600, "thread not found: t")
    methods = ("thread/queue/list", "thread/read", "thread/turns/list")
    async with Threads(refusals=dict.fromkeys(methods, gone)).side(tmp_path) as (side, client):
        doubt(side, "t")
        assert await look(side, client) == SENT_AGAIN
