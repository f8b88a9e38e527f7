"""A bridge's Codex side goes on after what nobody foresaw, and says when it cannot."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agentbridged.errors import CodexError, StoreError
from agentbridged.machines.delivery import Mail
from tests.codex.small import scene


async def test_a_fault_with_a_message_in_hand_leaves_it_in_doubt_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path, "a") as s:
        s.connect("a")
        await asyncio.sleep(1)
        faults = [StoreError("a fault of ours")]
        attempt = s.store.attempt

        def once(*args: Any) -> None:
            if faults:
                raise faults.pop()
            attempt(*args)

        monkeypatch.setattr(s.store, "attempt", once)
        id = await s.ask("question")
        await asyncio.sleep(60)
        assert s.small.queue["a"] == [id]


async def test_a_message_whose_row_went_with_a_damaged_file_holds_up_no_other(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, "a") as s:
        s.connect("a")
        await asyncio.sleep(1)
        s.side.accept(Mail("ab-lost", "lost"))
        id = await s.ask("next")
        assert s.small.queue["a"] == [id]


async def test_what_is_doubted_together_is_sent_again_in_order(tmp_path: Path) -> None:
    async with scene(tmp_path, "a") as s:
        s.connect("a")
        ids = [await s.ask(text) for text in ("one", "two", "three")]
        s.small.queue["a"].clear()
        s.connect("a")
        await asyncio.sleep(60)
        assert s.small.queue["a"] == ids


async def test_an_app_server_that_tells_nothing_for_long_is_a_trouble_to_be_shown(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, "a") as s:
        s.connect("a")
        await s.ask("question")
        s.small.queue["a"].clear()
        s.small.fault = lambda method, _: (
            CodexError(-32603, "no idea") if method == "thread/queue/list" else None
        )
        s.connect("a")
        await asyncio.sleep(60)
        assert "no idea" in s.bridge.status()["trouble"]
        s.small.fault = lambda method, _: None
        await asyncio.sleep(60)
        assert s.bridge.status()["trouble"] == ""
        assert len(s.small.queue["a"]) == 1
