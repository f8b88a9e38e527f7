"""The approvals with a real store, and a client that only takes answers."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from agentbridged.bridges.approvals import Approvals, lives, outcome
from agentbridged.children import liveness
from agentbridged.codex.client import AppServerClient
from agentbridged.errors import Refused
from agentbridged.store import ApprovalRow, Store
from agentbridged.wire.codex import Item, ItemCompleted, RequestResolved, ServerRequest
from agentbridged.wire.jsonrpc import Id

COMMAND = "item/commandExecution/requestApproval"


class Client:
    """Takes answers."""

    def __init__(self) -> None:
        self.answers: list[tuple[Id, dict[str, Any]]] = []
        self.came = asyncio.Event()

    async def answer(self, id: Id, result: dict[str, Any]) -> None:
        self.answers.append((id, result))
        self.came.set()


class World:
    def __init__(self, directory: Path) -> None:
        self.store = Store(directory / "db")
        self.store.ensure_bridge("p-1", "/p")
        self.told: list[tuple[str, str, bool]] = []
        self.living = {"s1", "s2"}
        self.client = Client()
        self.open()

    def open(self) -> None:
        self.approvals = Approvals(
            self.store,
            lambda row, new: self.told.append((row.id, row.state, new)),
            self.living.__contains__,
        )

    def connect(self, server: str = "s1") -> None:
        self.client = Client()
        self.approvals.connected(cast(AppServerClient, self.client), server)

    def ask(self, id: Id = 0, method: str = COMMAND, **params: object) -> None:
        request = ServerRequest(id, method, {"threadId": "th", "command": "rm x", **params})
        self.approvals.asked("p-1", request)

    @property
    def only(self) -> ApprovalRow:
        (row,) = self.store.latest_approvals()
        return row

    async def sent(self) -> list[tuple[Id, dict[str, Any]]]:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.approvals.run())
            await self.client.came.wait()
            task.cancel()
        return self.client.answers


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.connect()
    yield world
    world.store.close()


@pytest.mark.requirement("A7")
async def test_a_question_is_kept_and_told_once(world: World) -> None:
    world.ask()
    world.ask()
    assert (world.only.state, world.only.what) == ("pending", "run the command: rm x")
    assert world.told == [(world.only.id, "pending", True)]


@pytest.mark.requirement("A8")
@pytest.mark.parametrize(("allow", "decision"), [(True, "accept"), (False, "decline")])
async def test_a_persons_word_is_sent_and_recorded(
    world: World, allow: bool, decision: str
) -> None:
    world.ask("6")
    answered = world.approvals.answer(world.only.id, allow=allow, by="anna")
    assert (answered.state, answered.answered_by) == ("answered", "anna")
    assert answered.answered_at is not None
    assert await world.sent() == [("6", {"decision": decision})]
    world.approvals.resolved(RequestResolved("th", "6"))
    assert world.only.state == "resolved"


@pytest.mark.requirement("A8")
async def test_a_second_answer_names_the_first(world: World) -> None:
    world.ask()
    world.approvals.answer(world.only.id, allow=True, by="anna")
    with pytest.raises(Refused, match="anna"):
        world.approvals.answer(world.only.id, allow=False, by="ben")
    world.approvals.resolved(RequestResolved("th", 0))
    with pytest.raises(Refused, match="answered by anna already"):
        world.approvals.answer(world.only.id, allow=False, by="ben")


@pytest.mark.requirement("A8")
async def test_an_answer_in_codex_comes_first_and_is_named(world: World) -> None:
    world.ask()
    world.approvals.resolved(RequestResolved("th", 0))
    with pytest.raises(Refused, match="in Codex already"):
        world.approvals.answer(world.only.id, allow=True, by="anna")


@pytest.mark.requirement("A4")
async def test_an_answer_outlives_a_lost_connection_and_a_restart_of_ours(world: World) -> None:
    world.ask()
    world.approvals.gone()
    world.approvals.answer(world.only.id, allow=True, by="anna")
    world.open()
    world.connect("s1")
    world.ask()
    assert await world.sent() == [(0, {"decision": "accept"})]
    assert world.only.state == "answered"


@pytest.mark.requirement("A5")
async def test_the_end_of_the_app_server_orphans_it_and_a_late_answer_says_so(
    world: World,
) -> None:
    world.ask()
    world.approvals.gone()
    world.connect("s2")
    with pytest.raises(Refused, match="has ended") as caught:
        world.approvals.answer(world.only.id, allow=True, by="anna")
    assert caught.value.kind == "orphaned"
    assert world.client.answers == []


@pytest.mark.requirement("A4")
async def test_what_was_settled_while_we_were_away_is_found_out(world: World) -> None:
    world.ask()
    world.approvals.gone()
    world.connect("s1")
    world.approvals.caught_up("th")
    assert world.only.state == "resolved"


@pytest.mark.requirement("A6")
@pytest.mark.parametrize("method", ["item/tool/requestUserInput", "some/new/thing"])
async def test_a_question_that_needs_more_than_yes_or_no_is_shown_and_not_answered_here(
    world: World, method: str
) -> None:
    world.ask(method=method)
    with pytest.raises(Refused, match="answer it in Codex"):
        world.approvals.answer(world.only.id, allow=True, by="anna")
    assert world.only.state == "pending"


async def test_an_unknown_approval_is_refused(world: World) -> None:
    with pytest.raises(Refused, match="no approval 'ap-x'"):
        world.approvals.answer("ap-x", allow=True, by="anna")


async def test_a_question_before_the_app_server_is_known_is_asked_again_later(
    world: World,
) -> None:
    world.approvals.gone()
    world.ask()
    assert world.store.latest_approvals() == []


async def test_events_never_tell_the_command(world: World) -> None:
    world.ask(command="rm a-secret")
    assert "secret" not in str(outcome(world.only))


@pytest.mark.requirement("A8")
@pytest.mark.parametrize(
    ("status", "answer"),
    [("completed", {"decision": "accept"}), ("declined", {"decision": "decline"})],
)
async def test_the_end_of_the_item_tells_how_it_was_answered_in_codex(
    world: World, status: str, answer: dict[str, str]
) -> None:
    world.ask(itemId="call-1")
    world.approvals.resolved(RequestResolved("th", 0))
    asked = world.only
    assert (asked.answered_by, asked.result, asked.answered_at is None) == ("Codex", None, False)
    done = Item("commandExecution", "call-1", status=status)
    world.approvals.item_completed(ItemCompleted("other", "u", done))
    assert world.only == asked
    world.approvals.item_completed(ItemCompleted("th", "u", done))
    assert (world.only.result, world.only.state) == (answer, "resolved")


@pytest.mark.requirement("A8")
async def test_the_end_of_the_item_changes_nothing_of_an_answer_given_here(world: World) -> None:
    world.ask(itemId="call-1")
    world.approvals.answer(world.only.id, allow=True, by="anna")
    world.approvals.resolved(RequestResolved("th", 0))
    done = Item("commandExecution", "call-1", status="declined")
    world.approvals.item_completed(ItemCompleted("th", "u", done))
    assert (world.only.result, world.only.answered_by) == ({"decision": "accept"}, "anna")


@pytest.mark.requirement("A5")
async def test_an_answer_after_the_app_server_died_is_refused_before_there_is_another(
    world: World,
) -> None:
    world.ask()
    world.approvals.gone()
    assert world.only.state == "pending"
    world.living.clear()
    with pytest.raises(Refused, match="has ended"):
        world.approvals.answer(world.only.id, allow=True, by="anna")
    assert world.only.state == "orphaned"


@pytest.mark.requirement("A3")
async def test_an_hour_later_it_is_still_answerable(world: World) -> None:
    world.ask()
    await asyncio.sleep(3600)
    world.approvals.answer(world.only.id, allow=True, by="anna")
    assert await world.sent() == [(0, {"decision": "accept"})]


def test_a_process_is_known_to_have_ended_by_its_start() -> None:
    me = liveness.identify(os.getpid())
    assert me is not None
    assert lives(f"{me.pid}:{me.create_time:.2f}")
    assert not lives(f"{me.pid}:{me.create_time - 100:.2f}")
    assert lives(f"{me.pid}")
