"""A clock that was set hides no turn: what was missed and what was sent is found all the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from agentbridged.codex import thread as threads
from agentbridged.codex.client import AppServerClient
from agentbridged.codex.thread import FURTHER, PAGE, recent, turns_since
from agentbridged.wire import codex

HOUR = 3600.0
NOON = 1_790_000_000.0


class History:
    """The turns of a thread, newest first."""

    def __init__(self, *turns: codex.Turn) -> None:
        self.turns = turns

    async def read(self, client: Any, thread_id: str) -> AsyncIterator[codex.Turn]:
        for turn in self.turns:
            yield turn


def turn(id: str, at: float) -> codex.Turn:
    return codex.Turn(id, "completed", startedAt=at)


def use(patch: pytest.MonkeyPatch, *turns: codex.Turn) -> AppServerClient:
    patch.setattr(threads, "turns", History(*turns).read)
    return cast(AppServerClient, None)


async def since(client: AppServerClient, cursor: str) -> list[str]:
    return [turn.id for turn in await turns_since(client, "t", cursor)]


@pytest.mark.parametrize("step", [-5 * HOUR, 0.0, 5 * HOUR])
async def test_what_was_missed_is_read_back_whatever_the_clock_says(
    monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    known = turn("u1", NOON)
    missed = [turn("u3", NOON + step + 20), turn("u2", NOON + step + 10)]
    client = use(monkeypatch, *missed, known, turn("u0", NOON - HOUR))
    assert await since(client, known.cursor) == ["u2", "u3"]


async def test_a_turn_that_was_taken_back_brings_what_is_younger(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = use(monkeypatch, turn("u3", NOON + 20), turn("u0", NOON - HOUR))
    assert await since(client, f"u1@{NOON:.0f}") == ["u3"]


async def test_a_turn_that_was_taken_back_is_not_searched_for_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = [turn(f"o{n}", NOON - HOUR) for n in range(FURTHER + 1)]
    client = use(monkeypatch, *old, turn("u1", NOON))
    assert await since(client, f"u1@{NOON:.0f}") == []


async def test_a_page_of_turns_is_looked_through_whatever_the_clock_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = [turn(f"o{n}", NOON - 5 * HOUR) for n in range(3 * PAGE)]
    client = use(monkeypatch, turn("new", NOON + 1), *old)
    seen = [turn.id async for turn in recent(client, "t", NOON)]
    assert seen == ["new", *(f"o{n}" for n in range(PAGE - 1))]
