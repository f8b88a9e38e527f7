"""At the end of a turn Claude gets what is unconfirmed, once; otherwise it hears nothing."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from agentbridged.mcp import envelope
from agentbridged.mcp.turn_end import answer
from agentbridged.wire.mcp import TurnEnded
from tests.mcp.test_delivery import Nowhere, Side, message, side

ENDED = TurnEnded(session_id="s-1", stop_hook_active="false")
AGAIN = TurnEnded(session_id="s-1", stop_hook_active="true")


async def context(it: Side, ended: TurnEnded = ENDED) -> str:
    """What the hook gives to the model; empty when it says nothing."""
    said = await answer(it.delivery, ended)
    if not said:
        return ""
    output = json.loads(said)["hookSpecificOutput"]
    assert output["hookEventName"] == "Stop"
    return str(output["additionalContext"])


async def test_a_session_without_unread_messages_hears_nothing_at_once(tmp_path: Path) -> None:
    async with side(tmp_path) as it:
        assert await context(it) == ""
        assert asyncio.get_running_loop().time() == 0


async def test_what_nothing_else_carries_is_handed_over_once_in_order(tmp_path: Path) -> None:
    async with side(tmp_path, box=Nowhere()) as it:
        it.transcript("the session began")
        for number in (2, 1):
            it.delivery.message(message(number))
        await asyncio.sleep(0.1)
        text = await context(it)
        assert text.index("text 1") < text.index("text 2")
        assert "perhaps" not in text
        assert await context(it, AGAIN) == ""
        await asyncio.sleep(0.1)
        assert it.reports == [("delivered", [message(1).id, message(2).id])]
        shown = {"type": "hook_additional_context", "content": [text]}
        it.transcript("", type="attachment", attachment=shown)
        await asyncio.sleep(2)
        assert it.reports[1] == ("consumed", [message(1).id, message(2).id])
        assert it.ways["stop_hook"] == "proven"


async def test_what_the_inbox_took_just_now_gets_the_time_to_show(tmp_path: Path) -> None:
    async with side(tmp_path) as it:
        it.transcript("the session began")
        it.delivery.message(message(1))
        await asyncio.sleep(0.1)
        ending = asyncio.ensure_future(context(it))
        await asyncio.sleep(1)
        assert not ending.done()
        it.transcript(it.box.texts[0])
        assert await ending == ""
        assert asyncio.get_running_loop().time() < 2


async def test_what_shows_no_sign_is_handed_over_with_the_mark(tmp_path: Path) -> None:
    async with side(tmp_path) as it:
        it.transcript("the session began")
        it.delivery.message(message(1))
        await asyncio.sleep(0.1)
        assert 'repeat="perhaps' in await context(it)
        assert asyncio.get_running_loop().time() == pytest.approx(3, abs=0.3)


async def test_what_waits_in_claude_codes_queue_is_left_there(tmp_path: Path) -> None:
    async with side(tmp_path) as it:
        it.transcript("the session began")
        it.delivery.message(message(1))
        await asyncio.sleep(0.1)
        it.transcript("", type="queue-operation", operation="enqueue", content=it.box.texts[0])
        assert await context(it) == ""
        assert "text 1" in await context(it)  # a whole turn later it is not in the queue any more


async def test_a_lost_answer_of_the_hook_is_given_again_a_turn_later_but_not_for_ever(
    tmp_path: Path,
) -> None:
    async with side(tmp_path, box=Nowhere()) as it:
        it.transcript("the session began")
        it.delivery.message(message(1))
        await asyncio.sleep(0.1)
        answers = [await context(it) for _ in range(5)]
        assert [bool(text) for text in answers] == [True, True, True, False, False]
        assert "perhaps" not in answers[0]
        assert "perhaps" in answers[1]


async def test_a_long_message_comes_with_its_head_and_waits_for_claude_to_read_the_rest(
    tmp_path: Path,
) -> None:
    async with side(tmp_path, box=Nowhere()) as it:
        it.transcript("the session began")
        long = message(1, "x" * 50_000, prompts=["y" * 9_000] * 9)
        it.delivery.message(long)
        it.delivery.message(message(2))
        await asyncio.sleep(0.1)
        text = await context(it)
        assert len(text) < 10_000
        assert "read_messages" in text
        assert "text 2" not in text
        shown = {"type": "hook_additional_context", "content": [text]}
        it.transcript("", type="attachment", attachment=shown)
        text_2 = await context(it, AGAIN)
        assert "text 2" in text_2
        it.transcript(text_2)
        assert await context(it) == ""
        assert envelope.openings(long.id)[0] in text
        assert len(it.delivery.mailbox) == 1


async def test_the_hook_says_which_session_it_is_and_where_its_transcript_is(
    tmp_path: Path,
) -> None:
    async with side(tmp_path, box=Nowhere()) as it:
        elsewhere = tmp_path / "elsewhere.jsonl"
        it.delivery.message(message(1))
        await asyncio.sleep(0.1)
        ended = TurnEnded(session_id="s-9", transcript_path=str(elsewhere))
        elsewhere.write_text('{"type":"user","message":{"content":"hi"}}\n', encoding="utf-8")
        text = await context(it, ended)
        assert it.delivery.session.id == "s-9"
        line = {"type": "user", "message": {"content": text}}
        with elsewhere.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        await asyncio.sleep(2)
        assert it.reports[-1] == ("consumed", [message(1).id])


async def test_what_claude_code_did_not_fill_in_is_no_session(tmp_path: Path) -> None:
    async with side(tmp_path) as it:
        await context(it, TurnEnded(session_id="${session_id}", transcript_path=""))
        assert it.delivery.session.id == "s-1"


async def test_a_first_turn_may_end_before_its_transcript_is_there(tmp_path: Path) -> None:
    async with side(tmp_path) as it:
        it.delivery.message(message(1))
        await asyncio.sleep(60)
        ending = asyncio.ensure_future(context(it))
        await asyncio.sleep(1)
        it.transcript("the session began")
        assert 'repeat="perhaps' in await ending


async def test_where_nothing_can_be_proven_the_hook_waits_once_and_repeats_nothing(
    tmp_path: Path,
) -> None:
    async with side(tmp_path) as it:
        it.transcript("", kind="of another format")
        it.delivery.message(message(1))
        await asyncio.sleep(60)
        began = asyncio.get_running_loop().time()
        assert [await context(it) for _ in range(4)] == [""] * 4
        assert asyncio.get_running_loop().time() - began == pytest.approx(3, abs=0.3)
