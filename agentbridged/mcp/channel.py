"""
The channel: a notification to the session's own MCP client, which Claude Code gives to the model.

A server cannot see whether the session takes it: Claude Code drops it silently when the feature is
off for this account (measured, 2.1.330). What can be seen is whether the session was started with
a channel of ours, on Claude Code's command line; without that it is not used, and with it what is
sent stays unconfirmed until the transcript proves it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import cached_property

from agentbridged.wire import jsonrpc

FLAGS = ("--channels", "--dangerously-load-development-channels")
SERVER = "agentbridge"
"""Our name as a plugin and as a server."""
SETTLED = 1.5
"""Seconds after the handshake: what comes right behind it is lost (measured, 2.1.330)."""
METHOD = "notifications/claude/channel"
CAPABILITY: dict[str, dict[str, str]] = {"claude/channel": {}}
"""Among the experimental capabilities of our answer to ``initialize``."""


def is_asked_for(command: Sequence[str]) -> bool:
    """Whether this command line of Claude Code's names a channel of ours."""
    values: list[str] = []
    listing = False
    for word in command[1:]:
        flag, _, value = word.partition("=")
        if word.startswith("-"):
            listing = flag in FLAGS
            values += [value] if listing and value else []
        elif listing:
            values.append(word)
    return any(_name(value) == SERVER for entry in values for value in entry.split(","))


def _name(entry: str) -> str:
    """Return the name in ``plugin:NAME@MARKET`` or ``server:NAME``."""
    return entry.partition(":")[2].partition("@")[0]


class Channel:
    """One session's channel, if it was started with one."""

    def __init__(self, write: Callable[[bytes], None], *, asked_for: Callable[[], bool]) -> None:
        self._write = write
        self._asked_for = asked_for
        self.ready_at = 0.0
        """When it may be used first, on the loop's clock."""

    @cached_property
    def problem(self) -> str:
        """Why it cannot be used; empty when it may be."""
        return "" if self._asked_for() else "the session was not started with one of ours"

    async def write(self, text: str, sender: str) -> None:
        """Send *text*; whether anybody takes it is not told."""
        await asyncio.sleep(max(0.0, self.ready_at - asyncio.get_running_loop().time()))
        params = {"content": text, "meta": {"from": sender}}
        self._write(jsonrpc.notification(METHOD, params))
