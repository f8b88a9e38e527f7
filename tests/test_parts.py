"""Parts that fail, on a clock that jumps."""

from __future__ import annotations

import asyncio
import logging

import pytest

from agentbridged.errors import ConfigError
from agentbridged.parts import REPAIR, Parts


class Failing:
    """A part that fails with *error* the first times, then runs until it is cancelled."""

    def __init__(self, error: Exception, times: int = 2) -> None:
        self.error, self.times = error, times
        self.runs: list[float] = []
        self.well = asyncio.Event()

    async def run(self) -> None:
        self.runs.append(asyncio.get_running_loop().time())
        if len(self.runs) <= self.times:
            raise self.error
        self.well.set()


@pytest.mark.parametrize("error", [ValueError("ours"), ConfigError("relay", "a person's")])
async def test_a_part_that_fails_is_started_again_after_a_while(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    part = Failing(error)
    async with asyncio.TaskGroup() as group:
        parts = Parts(group, asyncio.Event())
        parts.starting = False
        parts.keep("it", part.run)
    assert part.well.is_set()
    assert part.runs == [0, REPAIR, 2 * REPAIR]


async def test_no_part_is_started_again_after_the_end() -> None:
    part, ending = Failing(ValueError("ours")), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        Parts(group, ending).keep("it", part.run)
        asyncio.get_running_loop().call_later(REPAIR / 2, ending.set)
    assert part.runs == [0]


async def test_what_a_person_must_mend_ends_the_start() -> None:
    with pytest.raises(ExceptionGroup) as raised:
        async with asyncio.TaskGroup() as group:
            Parts(group, asyncio.Event()).keep(
                "it", Failing(ConfigError("relay", "a person's")).run
            )
    assert [type(error) for error in raised.value.exceptions] == [ConfigError]


async def test_a_pause_ends_with_its_time_or_with_the_end() -> None:
    loop, ending = asyncio.get_running_loop(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        parts = Parts(group, ending)
        await parts.pause(7)
        assert loop.time() == 7
        loop.call_later(1, ending.set)
        await parts.pause(7)
        assert loop.time() == 8
