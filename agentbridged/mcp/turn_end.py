"""
The end of a turn of Claude's, which the plugin's ``Stop`` hook tells us: the third step.

What is not confirmed then is answered as the hook's additional context: Claude Code gives it to the
model, which goes on with it. Nothing unconfirmed, nothing said: the session ends its turn as if
there was no hook. What would be repeated gets a moment to show in the transcript first.
"""

from __future__ import annotations

import asyncio

import msgspec

from agentbridged.machines import ladder
from agentbridged.mcp import envelope
from agentbridged.mcp.delivery import Delivery, Part
from agentbridged.mcp.mailbox import Entry
from agentbridged.wire.mcp import TurnEnded

ROOM = 8_000
"""Characters handed over at once: Claude Code cuts a hook's answer at 10,000."""
PROMPT, PROMPTS = 400, 3
"""Characters of what a person typed that come along, and how many of them."""
LOOK_EVERY = 0.1


async def answer(delivery: Delivery, ended: TurnEnded) -> str:
    """Return the hook's answer: the messages that are due, or nothing."""
    delivery.session.told(ended.session_id, ended.transcript_path)
    delivery.hooked = True
    delivery.tell_ways()
    if not len(delivery.mailbox):
        return ""
    delivery.look()
    if not ended.again:
        for entry in delivery.mailbox.unconfirmed():
            entry.passage.turns += 1
    await _settle(delivery)
    return _hand_over(delivery)


async def _settle(delivery: Delivery) -> None:
    """Wait until what would be handed over again has shown a sign, or has had the time for it."""
    loop = asyncio.get_running_loop()
    until = loop.time() + ladder.SETTLING
    while loop.time() < until and _may_repeat(delivery, until):
        await asyncio.sleep(LOOK_EVERY)
        delivery.look()


def _may_repeat(delivery: Delivery, at: float) -> bool:
    ways = delivery.ways()
    entries = delivery.mailbox.unconfirmed()
    return any(ladder.may_repeat(entry.passage, ways, now=at) for entry in entries)


def _hand_over(delivery: Delivery) -> str:
    now = asyncio.get_running_loop().time()
    ways = delivery.ways()
    due = [
        entry
        for entry in delivery.mailbox.unconfirmed()
        if ladder.at_turn_end(entry.passage, ways, now=now)
    ]
    if not due:
        return ""
    batch = _fitting(due)
    text = envelope.bare(
        [part for _, part, _ in batch],
        [entry.message for entry, _, _ in batch],
        batch=envelope.nonce(),
    )
    for entry, _, characters in batch:
        delivery.mailbox.pushed(entry, characters, "stop_hook", now=now)
    delivery.handed_over([entry for entry, _, _ in batch], "stop_hook")
    output = {"hookEventName": "Stop", "additionalContext": text}
    return msgspec.json.encode({"hookSpecificOutput": output}).decode()


def _fitting(due: list[Entry]) -> list[Part]:
    """Choose what one answer holds, in order; of a message that is too long for it, the head."""
    chosen: list[Part] = []
    room = ROOM
    for entry in due:
        typed = [prompt[:PROMPT] for prompt in entry.message.prompts[:PROMPTS]]
        message = msgspec.structs.replace(entry.message, prompts=typed)
        characters = min(len(message.text), ROOM - PROMPT * PROMPTS)
        part = envelope.tagged(message, repeat=entry.is_repeat, end=characters)
        if chosen and len(part) > room:
            break
        chosen.append((entry, part, characters))
        room -= len(part)
    return chosen
