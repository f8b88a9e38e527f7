"""What is old is forgotten, and what is young is not, whatever the clock is set to."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentbridged.bridges.forgetting import EVERY, STEADY, Forgetting, since_boot
from agentbridged.store import Store

DAY = 86_400.0
YEAR = 365 * DAY


class Desk:
    """A store, and two clocks that a test sets."""

    def __init__(self, path: Path) -> None:
        self.wall, self.elapsed, self.days = 1.8e9, 100.0, 90
        self.store = Store(path, lambda: self.wall)
        self.store.ensure_bridge("a-1", "/a")
        self.forgetting = Forgetting(
            self.store, lambda: self.days, wall=lambda: self.wall, elapsed=lambda: self.elapsed
        )

    def hear(self) -> None:
        id = self.store.add(bridge="a-1", direction="to_claude", sender="codex", text="?")[0].id
        self.store.advance([id], "failed")

    def live(self, seconds: float) -> None:
        """Let time pass as it should, and whatever is due be done."""
        end = self.elapsed + seconds
        while (wait := self.forgetting.step()) <= end - self.elapsed:
            self.wall += wait
            self.elapsed += wait

    @property
    def kept(self) -> int:
        return len(self.store.history("a-1"))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path / "a.db")
    yield desk
    desk.store.close()


def test_what_is_past_its_days_is_forgotten_once_the_clock_is_steady(desk: Desk) -> None:
    desk.hear()
    desk.wall += 91 * DAY
    desk.hear()
    assert desk.forgetting.step() == STEADY
    desk.live(STEADY / 2)
    assert desk.kept == 2
    desk.live(STEADY)
    assert desk.kept == 1


def test_a_young_message_survives_a_clock_that_is_years_ahead_for_a_while(desk: Desk) -> None:
    desk.live(2 * STEADY)
    desk.hear()
    desk.wall += 3 * YEAR
    desk.live(STEADY - 60)
    desk.wall -= 3 * YEAR
    desk.live(10 * EVERY)
    assert desk.kept == 1


def test_what_is_said_while_the_clock_is_years_behind_survives_its_correction(desk: Desk) -> None:
    desk.wall -= 3 * YEAR
    desk.hear()
    desk.live(STEADY - 60)
    desk.wall += 3 * YEAR
    desk.live(STEADY - 60)
    assert desk.kept == 1


def test_nothing_is_forgotten_where_all_is_kept(desk: Desk) -> None:
    desk.days = 0
    desk.hear()
    desk.wall += YEAR
    desk.live(3 * EVERY)
    assert desk.kept == 1


async def test_it_looks_again_in_its_own_time(desk: Desk) -> None:
    desk.hear()
    desk.wall += 91 * DAY
    loop = asyncio.get_running_loop()
    desk.forgetting._elapsed = loop.time
    wall = desk.wall - loop.time()
    desk.forgetting._wall = lambda: wall + loop.time()
    async with asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(desk.forgetting.run())
        await asyncio.sleep(STEADY - 1)
        assert desk.kept == 1
        await asyncio.sleep(2)
        assert desk.kept == 0
        looking.cancel()


def test_suspend_is_no_step() -> None:
    assert since_boot() >= time.monotonic() - 1
