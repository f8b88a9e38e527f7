"""What Codex says while it cannot be kept is read back later, whole and in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agentbridged.codex import thread as threads
from agentbridged.codex.client import AppServerClient
from agentbridged.codex.side import CodexSide
from agentbridged.errors import StoreUnavailable
from agentbridged.machines.degradation import Degradations
from agentbridged.machines.delivery import Facts, Mail
from agentbridged.machines.relay_policy import Relayed
from agentbridged.wire import codex
from tests.codex.answering import MAIL, side_of
from tests.codex.memory import Memory


class Full(Memory):
    """An owner whose disk may be full."""

    full = False

    def keeping(self) -> bool:
        return not self.full

    def relayed(self, thread_id: str, messages: Sequence[Relayed]) -> None:
        if self.full and messages:
            raise StoreUnavailable("the disk is full")
        super().relayed(thread_id, messages)


def item(id: str, text: str, turn: str) -> codex.ItemCompleted:
    answer = codex.Item(type="agentMessage", id=id, text=text, phase="final_answer")
    return codex.ItemCompleted("t", turn, answer)


def ended(turn: str) -> codex.TurnCompleted:
    return codex.TurnCompleted("t", codex.Turn(id=turn, status="completed", startedAt=1.0))


@pytest.fixture
def side() -> CodexSide:
    side = CodexSide(Full(Path("/p")), last_thread="t")
    side.thread_id = "t"
    return side


async def test_the_cursor_stands_still_from_what_could_not_be_kept_on(side: CodexSide) -> None:
    owner = side.owner
    assert isinstance(owner, Full)
    side.heard(item("i1", "one", "u1"))
    side.heard(ended("u1"))
    before = dict(owner.cursors)
    owner.full = True
    side.heard(item("i2", "two", "u2"))
    owner.full = False
    side.heard(item("i3", "three", "u2"))
    side.heard(ended("u2"))
    assert owner.pushed() == ["one"]
    assert owner.cursors == before
    assert side.thread_id == "t", "what Codex does is still known"
    assert not side.turns.active


async def test_what_is_in_hand_is_in_doubt(side: CodexSide) -> None:
    owner = side.owner
    assert isinstance(owner, Full)
    side.accept(Mail("ab-1", "?"))
    side.delivery.plan(Facts(reachable=True, thread=True), now=0.0)
    owner.full = True
    side.heard(item("i2", "two", "u2"))
    assert side.delivery._waiting["ab-1"].doubtful


async def test_it_subscribes_anew_only_when_it_can_keep_again(side: CodexSide) -> None:
    owner = side.owner
    assert isinstance(owner, Full)
    owner.full = True
    side.heard(item("i2", "two", "u2"))
    assert not side._begin_again()
    owner.full = False
    assert side._begin_again()
    assert side.thread_id is None


class Listing:
    """An app-server whose list of turns lags behind: each look gives what is due."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, status: str, *looks: list[codex.Turn]):
        self.looks = list(looks)
        self.status = codex.ThreadStatus(status)
        monkeypatch.setattr(threads, "subscribe", self._subscribe)
        monkeypatch.setattr(threads, "turns_since", self._turns_since)

    async def _subscribe(self, _: object, thread_id: str) -> threads.Subscription:
        return threads.Subscription(codex.Thread(thread_id, status=self.status), None, None)

    async def _turns_since(self, *_: object) -> list[codex.Turn]:
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]


def listed(turn: str, status: str, *texts: str) -> codex.Turn:
    items = [item(f"{turn}-{text}", text, turn).item for text in texts]
    return codex.Turn(id=turn, status=status, items=items, startedAt=1.0)


@asynccontextmanager
async def following() -> AsyncIterator[tuple[CodexSide, Memory]]:
    owner = Memory(Path("/p"))
    owner.owing["t"] = 0.0
    owner.cursors["t"] = ""
    side = CodexSide(owner, last_thread="t")
    client = SimpleNamespace(degradations=Degradations())
    side.connected(cast(AppServerClient, client))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(side.run())
        yield side, owner
        task.cancel()


async def test_a_turn_that_was_over_and_still_listed_as_running_is_looked_at_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Listing(
        monkeypatch, "idle", [listed("u1", "inProgress")], [listed("u1", "completed", "answer")]
    )
    async with following() as (_, owner):
        await owner.until(lambda: owner.ended)
    assert owner.pushed() == ["answer"]
    assert owner.ended == ["completed"]


async def test_a_turn_that_a_killed_app_server_took_along_is_over_when_the_next_one_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Listing(
        monkeypatch,
        "active",
        [listed("u1", "inProgress")],
        [listed("u1", "inProgress"), listed("u2", "inProgress")],
    )
    async with following() as (side, owner):
        await owner.until(lambda: side.turns.turn_id)
        side.heard(codex.TurnStarted("t", codex.Turn(id="u2")))
        await owner.until(lambda: owner.ended)
        side.heard(item("i", "next", "u2"))
        side.heard(ended("u2"))
    assert owner.ended == ["interrupted", "completed"]
    assert owner.pushed() == ["next"]


async def test_a_list_that_never_tells_the_end_is_not_read_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listing = Listing(monkeypatch, "idle", *[[listed("u1", "inProgress")] for _ in range(50)])
    async with following():
        await asyncio.sleep(900)
    assert len(listing.looks) > 40


@pytest.mark.realtime
async def test_a_thread_that_is_closed_as_it_is_read_back_is_read_back_again(
    tmp_path: Path,
) -> None:
    asked = {"type": "userMessage", "id": "i1", "clientId": MAIL.id}
    over = {"id": "u1", "status": "completed", "startedAt": 1.0, "items": [asked]}
    resumed: list[str] = []

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        if request["method"] == "thread/resume":
            resumed.append(request["params"]["threadId"])
            if len(resumed) == 1:
                bound.heard(codex.ThreadClosed("left"))
        thread = {"id": "left", "status": {"type": "idle"}}
        return {"result": {"thread": thread, "data": [over]}}

    async with side_of(tmp_path / "s", answer) as (bound, client), asyncio.TaskGroup() as group:
        owner = bound.owner
        assert isinstance(owner, Memory)
        owner.owing["left"] = 0.0
        owner.attempting(MAIL.id, "queue", "left")
        bound.delivery.found(MAIL.id)
        bound.binding.opened("left")
        bound.connected(client)
        task = group.create_task(bound.run())
        await owner.until(lambda: owner.ended)
        task.cancel()
    assert owner.ended == ["completed"]
