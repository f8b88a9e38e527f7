from collections.abc import Iterator
from pathlib import Path

import pytest

from agentbridged.bridges.ledger import DOUBT_FOR, Ledger
from agentbridged.codex.intake import Intake
from agentbridged.config import Settings
from agentbridged.machines.delivery import Delivery
from agentbridged.machines.relay_policy import Relayed, Route
from agentbridged.store import Store
from agentbridged.store.rows import MessageRow
from agentbridged.wire.codex import Item, Turn


class World:
    def __init__(self, directory: Path) -> None:
        self.store = Store(directory / "db")
        row = self.store.ensure_bridge("p-1", "/p")
        self.arrived: list[MessageRow] = []
        self.notices: list[tuple[str, str]] = []
        self.ledger = Ledger(
            row,
            self.store,
            Settings,
            arrived=lambda message, route: self.arrived.append(message),
            notice=lambda kind, text, of=(): self.notices.append((kind, text)),
            resumed=lambda thread_id: None,
            person_spoke=lambda at: None,
        )

    def message(self, text: str = "hello") -> str:
        row, _ = self.store.add(bridge="p-1", direction="to_codex", sender="claude", text=text)
        return row.id

    def state(self, id: str) -> str:
        row = self.store.message(id)
        assert row is not None
        return row.state


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.store.close()


def test_a_message_moves_from_hand_to_hand(world: World) -> None:
    id = world.message()
    world.ledger.attempting(id, "queue", "th")
    assert world.ledger.tried(id)[0][0] == "th"
    world.ledger.placed(id, "queue", "th")
    assert world.state(id) == "written"
    world.ledger.taken(id, "t1")
    assert world.state(id) == "consumed"
    world.ledger.turn_ended("th", Turn("t1", "completed"))
    assert world.state(id) == "answered"


def test_a_turn_that_ended_badly_is_told_to_claude(world: World) -> None:
    id = world.message()
    world.ledger.taken(id, "t1")
    world.ledger.turn_ended("th", Turn("t1", "failed"))
    assert world.state(id) == "consumed"
    ((kind, text),) = world.notices
    assert kind == "turn"
    assert id in text


@pytest.mark.parametrize("cut", [True, False])
def test_what_was_only_noted_is_told_once_if_it_was_cut_and_moves_no_cursor(
    world: World, cut: bool
) -> None:
    world.ledger.bound("th", "t5@5")
    id = world.message()
    for _ in range(2):
        world.ledger.noted(id, "th", Turn("t1", "interrupted", startedAt=1), cut=cut)
    assert world.state(id) == "consumed"
    assert [id in text for _, text in world.notices] == [True] * cut
    assert world.ledger.cursor("th") == "t5@5"


def test_the_cursor_is_that_of_the_bound_thread(world: World) -> None:
    assert world.ledger.cursor("th") is None
    world.ledger.bound("th", "t0@0")
    assert world.ledger.cursor("th") == "t0@0"
    world.ledger.turn_ended("th", Turn("t1", "completed", startedAt=7))
    assert world.ledger.cursor("th") == "t1@7"
    assert world.ledger.cursor("other") is None


def test_a_switch_is_told_once_and_the_first_thread_is_no_switch(world: World) -> None:
    world.ledger.bound("one", "")
    assert world.notices == []
    world.ledger.bound("two", "")
    world.ledger.bound("two", "t@1")
    assert [kind for kind, _ in world.notices] == ["thread"]


def test_a_message_that_fails_is_told_with_the_reason_once(world: World) -> None:
    id = world.message()
    world.ledger.failed(id, "input_too_large")
    world.ledger.failed(id, "input_too_large")
    ((kind, text),) = world.notices
    assert (kind, world.state(id)) == ("failed", "failed")
    assert "input_too_large" in text


def test_what_codex_said_is_kept_once(world: World) -> None:
    said = Relayed("i", "t", "done", Route.PUSH, ("typed",), "ab-1")
    world.store.mark_attached("p-1")
    world.ledger.relayed("th", [said, said])
    (message,) = world.arrived
    assert (message.text, message.prompts, message.in_reply_to) == ("done", ["typed"], "ab-1")
    assert (message.state, message.thread_id) == ("accepted", "th")


def test_what_is_in_the_store_is_ours(world: World) -> None:
    assert world.ledger.is_ours(world.message())
    assert not world.ledger.is_ours("some-uuid")
    assert not world.ledger.is_ours("ab-1")


def test_what_looks_like_ours_is_although_its_row_cannot_be_read(world: World) -> None:
    id = world.message()
    world.store._work_in_memory("a disk error")
    assert world.store.message(id) is None
    assert world.ledger.is_ours(id)


def test_an_answer_to_what_is_in_the_file_alone_is_pushed_and_stays_so(world: World) -> None:
    world.store.mark_attached("p-1")
    world.ledger._settings = lambda: Settings(relay="replies")
    id = world.message()
    said = [
        Item("userMessage", "i1", clientId=id, content=[{"type": "text", "text": "hello"}]),
        Item("agentMessage", "i2", text="answer", phase="final_answer"),
    ]

    def hear() -> None:
        Intake(world.ledger, Delivery()).ended("th", Turn("t1", "completed", said))

    world.store._work_in_memory("a disk error")
    hear()
    assert world.store.recheck()
    hear()
    (answer,) = world.arrived
    assert (answer.prompts, answer.in_reply_to) == ([], id)
    assert [m.state for m in world.store.history("p-1")] == ["answered", "accepted"]


def test_a_message_is_stale_a_day_after_it_was_sent_last(world: World) -> None:
    id = world.message()
    world.ledger.attempting(id, "queue", "th")
    world.ledger.placed(id, "queue", "th")
    world.store._db.execute("UPDATE messages SET changed_at = changed_at - ?", (DOUBT_FOR + 9,))
    world.store._db.execute("UPDATE attempts SET at = at - ?", (DOUBT_FOR + 9,))
    assert [mail.stale for mail in world.ledger.unconfirmed()] == [True]
    world.ledger.attempting(id, "kick", "th")
    assert [mail.stale for mail in world.ledger.unconfirmed()] == [False]
    world.store._db.execute("UPDATE attempts SET at = at - ?", (DOUBT_FOR + 9,))
    assert [mail.stale for mail in world.ledger.unconfirmed()] == [True]


def test_a_step_that_did_nothing_is_kept_with_its_reason(world: World) -> None:
    id = world.message()
    world.ledger.attempting(id, "queue", "th")
    world.ledger.turned_away(id, "queue", "no such method")
    assert world.state(id) == "accepted"
    last = world.store.attempts(id)[-1]
    assert (last.step, last.result, last.detail) == ("queue", "not taken", "no such method")
