"""Many messages at once: few lines, in order, and none lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agentbridged.mcp import envelope
from agentbridged.mcp.transcript import Seen, Transcript
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


async def test_of_a_burst_of_old_messages_the_transcript_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with side(tmp_path) as it:
        it.transcript(envelope.tagged(message(1)))
        looks: list[int] = []
        look = Transcript.look

        def counted(self: Transcript, ids: set[str]) -> Seen:
            looks.append(len(ids))
            return look(self, ids)

        monkeypatch.setattr(Transcript, "look", counted)
        for number in range(1, 21):
            it.delivery.message(message(number, created_at="2001-01-01T00:00:00Z"))
        await asyncio.sleep(0.01)
        assert looks == [20, 19]  # and once more, as there is something to prove
        assert ("consumed", [message(1).id]) in it.reports
        (text,) = it.box.texts
        assert "text 1\n" not in text
