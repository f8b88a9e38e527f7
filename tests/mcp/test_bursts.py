"""Many messages at once: few lines, in order, and none lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.mcp.test_delivery import message, side


async def test_a_burst_wakes_claude_with_its_first_and_gives_it_the_rest_together(
    tmp_path: Path,
) -> None:
    async with side(tmp_path) as it:
        await asyncio.sleep(1)
        for number in range(1, 11):
            it.delivery.message(message(number))
            await asyncio.sleep(0.001)
        assert len(it.box.texts) == 1
        await asyncio.sleep(1)
        first, rest = it.box.texts
        assert first.count(">text 1\n") == 1
        assert [rest.count(f">text {number}\n") for number in range(2, 11)] == [1] * 9


async def test_a_flood_is_neither_lost_nor_too_fast(tmp_path: Path) -> None:
    async with side(tmp_path) as it:
        for number in range(1, 101):
            it.delivery.message(message(number, f"[{number}]"))
            await asyncio.sleep(0.05)
        await asyncio.sleep(60)
        assert len(it.box.texts) <= 30
        whole = "\n".join(it.box.texts)
        assert all(whole.count(f">[{number}]\n") == 1 for number in range(1, 101))
