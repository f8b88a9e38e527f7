"""What Codex is told of a pause: a short developer message, never a turn, and never twice."""

from __future__ import annotations

import logging

from agentbridged.codex import thread as threads
from agentbridged.codex.client import AppServerClient
from agentbridged.errors import CodexError

log = logging.getLogger(__name__)

PAUSED = (
    "agentbridge: the bridge to Claude Code is paused. Claude gets nothing you say until a person "
    "resumes it with `agentbridgectl resume`; what you say meanwhile is kept for it. Do not wait "
    "for Claude's answer."
)
ACTIVE = "agentbridge: the bridge to Claude Code is active again."


class Note:
    """Whether the bridge is paused, and whether Codex knows."""

    def __init__(self, *, paused: bool) -> None:
        self.paused = paused
        """How it is; a pause that ends before Codex was told of it is never told."""
        self._known = paused

    async def give(self, client: AppServerClient, thread_id: str) -> None:
        """Tell an idle thread what it does not know; what cannot be told is left untold."""
        if self.paused == self._known:
            return
        # Before the call: one whose answer is lost may have been heard, and is not repeated.
        self._known = self.paused
        try:
            await threads.inject(client, thread_id, PAUSED if self.paused else ACTIVE)
        except CodexError as error:
            log.info("thread %s was not told of a pause or its end: %s", thread_id, error)
