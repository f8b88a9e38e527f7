"""What became of Claude's messages is told to the session that is, or to the next, once."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentbridged.bridges.ledger import Ledger
from agentbridged.bridges.untold import FOR, MOST
from agentbridged.config import Settings
from agentbridged.errors import StoreError
from agentbridged.store import Store
from agentbridged.store.rows import Sender
from agentbridged.wire.codex import Turn
from tests.bridges.test_bridge import Seat, World, session


class Told(World):
    """A bridge whose daemon may be killed at any time."""

    def restart(self) -> None:
        self.bridge = self.open()

    @property
    def ledger(self) -> Ledger:
        owner = self.bridge.codex.owner
        assert isinstance(owner, Ledger)
        return owner

    def message(self, turn: str = "", *, sender: Sender = "claude") -> str:
        row, _ = self.store.add(bridge="p-1", direction="to_codex", sender=sender, text="do it")
        if turn:
            self.store.advance([row.id], "consumed", turn_id=turn)
        return row.id

    def cut(self, turn: str = "t1") -> None:
        self.ledger.turn_ended("th", Turn(turn, "interrupted"))

    def told(self, id: str) -> int:
        return sum(attempt.step == "told" for attempt in self.store.attempts(id))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Told]:
    world = Told(tmp_path)
    world.settings = Settings()
    yield world
    world.store.close()


def texts(seat: Seat) -> list[tuple[str, str]]:
    return [(notice.kind, notice.text) for notice in seat.notices]


@pytest.mark.parametrize("killed", [False, True])
async def test_it_is_told_in_the_same_words_by_the_next_daemon(
    world: Told, *, killed: bool
) -> None:
    lost, first, second = world.message(), world.message("t1"), world.message("t1")
    world.ledger.failed(lost, "Codex refused it")
    world.cut()
    if killed:
        world.restart()
    assert texts(await world.seat()) == [
        ("failed", f"Your message {lost} could not be delivered to Codex: Codex refused it"),
        (
            "turn",
            f"Codex's turn with your message {first}, {second} was interrupted: "
            "no answer will come of it by itself.",
        ),
    ]
    assert [world.told(id) for id in (lost, first, second)] == [1, 1, 1]
    world.restart()
    assert texts(await world.seat()) == []


async def test_what_a_session_was_told_at_once_is_not_told_to_the_next(world: Told) -> None:
    seat = await world.seat()
    id = world.message("t1")
    world.cut()
    assert (len(seat.notices), world.told(id)) == (1, 1)
    world.bridge.unseated(session(seat), "left")
    world.restart()
    assert texts(await world.seat()) == []


async def test_what_ended_well_or_is_a_persons_turn_is_not_told(world: Told) -> None:
    world.message("t1", sender="person")
    world.cut()
    world.message("t2")
    world.ledger.turn_ended("th", Turn("t2", "completed"))
    world.message("t3")
    world.restart()
    assert texts(await world.seat()) == []


async def test_that_a_persons_message_failed_is_told_as_a_persons(world: Told) -> None:
    world.ledger.failed(world.message(sender="person"), "refused")
    world.restart()
    ((_, text),) = texts(await world.seat())
    assert text.startswith("A person's message")


@pytest.mark.parametrize(("since", "news"), [(FOR - 60, 2), (FOR + 60, 0)])
async def test_what_is_older_than_a_day_is_no_news(
    world: Told, monkeypatch: pytest.MonkeyPatch, since: float, news: int
) -> None:
    world.message("t1")
    world.cut()
    world.ledger.failed(world.message(), "refused")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + since)
    world.restart()
    assert len(texts(await world.seat())) == news


async def test_of_many_the_latest_are_told(world: Told) -> None:
    ids = [world.message() for _ in range(MOST + 5)]
    for id in ids:
        world.ledger.failed(id, "refused")
    world.restart()
    told = texts(await world.seat())
    assert len(told) == MOST
    assert ids[-1] in told[-1][1]


async def test_a_session_is_told_even_if_that_cannot_be_kept(
    world: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    seat = await world.seat()
    id = world.message()

    def refuse(*_: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(Store, "attempt", refuse)
    world.ledger.failed(id, "refused")
    assert [kind for kind, _ in texts(seat)] == ["failed"]


def test_it_is_looked_for_by_an_index(world: Told) -> None:
    asked: list[str] = []
    world.store._db.set_trace_callback(asked.append)
    world.store.untold("p-1", 0.0, MOST)
    world.store._db.set_trace_callback(None)
    plans = [
        row[3]
        for query in asked
        if query.startswith("SELECT")
        for row in world.store._db.execute(f"EXPLAIN QUERY PLAN {query}")
    ]
    assert any("messages_unanswered" in plan for plan in plans)
    assert not [plan for plan in plans if plan.startswith("SCAN")]
