"""The store comes back by itself, everybody is told, and nothing is missed."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from agentbridged.bridges.mending import RECHECK, Mending
from agentbridged.bridges.registry import Bridges
from agentbridged.claude.session import Session
from agentbridged.config import Config
from agentbridged.errors import Refused, StoreUnavailable
from agentbridged.machines.relay_policy import Relayed, Route
from agentbridged.store import Store
from agentbridged.wire import claude
from tests.bridges.test_bridge import Seat


class House:
    """A registry on a real file, with one project and a seated session."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.project = directory / "project"
        self.project.mkdir()
        self.store = Store(directory / "a.db")
        self.store._db.execute("PRAGMA busy_timeout = 10")
        self.bridges = Bridges(
            self.store, Config, opened=lambda bridge: None, resumed=lambda thread_id: None
        )
        self.bridge = self.bridges.at(self.project)
        self.mending = Mending(self.store, self.bridges)
        self.events: list[dict[str, Any]] = []
        self.bridges.subscribe(self._hear)

    def _hear(self, kind: str, facts: dict[str, Any]) -> None:
        if kind == "store":
            self.events.append(facts)

    async def seat(self) -> Seat:
        seat = Seat()
        self.bridge.seated(cast(Session, seat))
        await asyncio.sleep(0)
        return seat

    def send(self, text: str) -> claude.Sent:
        return self.bridge.accept(claude.Send(text=text), sender="claude")

    def codex_says(self, text: str) -> None:
        said = Relayed(text, "turn", text, Route.PUSH, in_reply_to=None)
        self.bridge.codex.owner.relayed("thread", [said])

    @contextmanager
    def locked(self) -> Iterator[None]:
        other = sqlite3.connect(self.store.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.close()

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            watch = tasks.create_task(self.mending.run())
            await asyncio.sleep(0)
            yield
            watch.cancel()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.store.close()


def notices(seat: Seat) -> list[str]:
    return [notice.text for notice in seat.notices if notice.kind == "store"]


async def test_trouble_that_stays_is_told_once_and_its_end_too(house: House) -> None:
    seat = await house.seat()
    async with house.watched():
        with house.locked():
            with pytest.raises(StoreUnavailable, match="holds a lock"):
                house.send("?")
            await asyncio.sleep(RECHECK - 0.1)
            assert notices(seat) == []
            await asyncio.sleep(4 * RECHECK)
            (told,) = notices(seat)
            assert "holds a lock" in told
            assert house.mending.status()["state"] == "refusing"
            assert house.mending.status()["since"].endswith("Z")
        await asyncio.sleep(2 * RECHECK)
    assert notices(seat)[1:] == ["agentbridge can keep messages again."]
    assert [event["state"] for event in house.events] == ["refusing", "ok"]
    assert house.mending.status() == {
        **{"state": "ok", "reason": "", "kept_aside": [], "loss": "", "since": None}
    }


async def test_trouble_that_passes_is_told_only_to_those_it_refused(house: House) -> None:
    seat = await house.seat()
    async with house.watched():
        with house.locked(), pytest.raises(StoreUnavailable):
            house.send("?")
        house.send("again")
        await asyncio.sleep(3 * RECHECK)
    assert notices(seat) == []
    assert house.events == []


async def test_a_session_that_comes_in_the_midst_of_it_is_told(house: House) -> None:
    with house.locked():
        with pytest.raises(StoreUnavailable):
            house.send("?")
        seat = await house.seat()
    assert "What you send is refused until it can" in notices(seat)[0]


async def test_without_a_database_codex_is_heard_and_claude_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.db").mkdir()
    house = House(tmp_path)
    seat = await house.seat()
    assert "but is not kept" in notices(seat)[0]
    house.codex_says("all the same")
    assert seat.texts == ["all the same"]
    with pytest.raises(StoreUnavailable, match="Is a directory"):
        house.send("?")
    house.bridges.change([house.bridge.id], "kill", by="anna", reason="")
    async with house.watched():
        await asyncio.sleep(RECHECK + 1)
        assert house.mending.status()["state"] == "memory"
        (tmp_path / "a.db").rmdir()
        await asyncio.sleep(RECHECK + 1)
    assert house.store.health.ok
    house.store.close()
    kept = Store(tmp_path / "a.db")
    assert [m.text for m in kept.history(house.bridge.id)] == ["all the same"]
    assert kept.bridges()[0].state == "killed"
    kept.close()


async def test_what_waited_in_a_file_that_comes_back_is_taken_up(tmp_path: Path) -> None:
    house = House(tmp_path)
    await house.seat()
    waiting = house.send("kept before").id
    house.codex_says("said before")
    house.store.close()
    path = house.store.path
    path.rename(tmp_path / "elsewhere")
    path.mkdir()
    (house.project).rmdir()
    late = House(tmp_path)
    seat = await late.seat()
    async with late.watched():
        path.rmdir()
        (tmp_path / "elsewhere").rename(path)
        await asyncio.sleep(RECHECK + 1)
        await asyncio.sleep(0)
    assert seat.texts == ["said before"]
    assert list(late.bridge.codex.delivery._waiting) == [waiting]
    late.store.close()


async def test_what_fails_while_it_is_taken_up_is_taken_up_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = house.send("kept").id
    del house.bridge.codex.delivery._waiting[waiting]
    house.store.health.mend()

    def mended() -> None:
        raise StoreUnavailable("no, not yet")

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(house.bridges, "mended", mended)
        with pytest.raises(StoreUnavailable):
            await house.mending.run()
    async with house.watched():  # as a part of the daemon is started again
        assert list(house.bridge.codex.delivery._waiting) == [waiting]


async def test_a_database_begun_anew_is_told_with_where_the_old_one_is(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"garbage " * 2000)
    house = House(tmp_path)
    seat = await house.seat()
    (told,) = notices(seat)
    (aside,) = house.store.health.aside
    assert str(aside) in told
    house.send("taken")
    house.store.close()


async def test_the_first_send_once_the_file_is_back_is_kept_and_answered(tmp_path: Path) -> None:
    (tmp_path / "a.db").mkdir()  # in the way: work goes on in memory
    house = House(tmp_path)
    with pytest.raises(StoreUnavailable):
        house.send("too early")
    (tmp_path / "a.db").rmdir()
    sent = house.send("in time")
    house.store.close()
    again = Store(tmp_path / "a.db")
    row = again.message(sent.id)
    again.close()
    assert row is not None
    assert (row.text, row.state) == ("in time", "accepted")


async def test_the_first_send_once_the_file_is_back_follows_what_waited_in_it(
    tmp_path: Path,
) -> None:
    house = House(tmp_path)
    waiting = house.send("kept before").id
    late = without_its_file(house)
    the_file_is_back(late)
    sent = late.send("kept now").id
    late.bridge.mended()
    assert list(late.bridge.codex.delivery._waiting) == [waiting, sent]
    late.store.close()


async def test_a_bridge_that_is_off_in_the_file_takes_nothing_once_it_is_back(
    tmp_path: Path,
) -> None:
    house = House(tmp_path)
    house.bridges.change([house.bridge.id], "kill", by="anna", reason="")
    late = without_its_file(house)
    assert late.bridge.row.state == "active"
    the_file_is_back(late)
    with pytest.raises(Refused):
        late.send("?")
    assert late.store.history(late.bridge.id) == []
    late.store.close()


def without_its_file(house: House) -> House:
    """A daemon that is started while the file is not to be had."""
    house.store.close()
    house.store.path.rename(house.directory / "elsewhere")
    house.store.path.mkdir()
    house.project.rmdir()
    return House(house.directory)


def the_file_is_back(house: House) -> None:
    house.store.path.rmdir()
    (house.directory / "elsewhere").rename(house.store.path)
