"""What a bridge's Codex side asks of its bridge, and tells it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from agentbridged.machines.delivery import Mail
from agentbridged.machines.relay_policy import Relayed
from agentbridged.wire import codex


class Owner(Protocol):
    """The bridge, as its Codex side sees it: what must be remembered is told to it."""

    @property
    def root(self) -> Path:
        """The project's root."""

    def engaged(self) -> bool:
        """Whether a Claude session was ever here: before that a thread is none of our business."""

    def delivering(self) -> bool:
        """Whether messages may go to Codex now: it is neither killed nor paused, and can keep."""

    def keeping(self) -> bool:
        """Whether what Codex says can be remembered now; if not, it is read back later."""

    def replies_only(self) -> bool:
        """Whether only turns that a message of Claude's started are relayed."""

    def is_ours(self, message_id: str) -> bool:
        """Whether we sent a user message with this client id."""

    def cursor(self, thread_id: str) -> str | None:
        """Return how far this thread was taken in; ``None`` when it was never bound."""

    def bound(self, thread_id: str, cursor: str) -> None:
        """The bridge is on this thread now, and everything up to the cursor is taken in."""

    def relayed(self, thread_id: str, messages: Sequence[Relayed]) -> None:
        """Codex said this."""

    def person_spoke(self, at: float | None) -> None:
        """A person typed something in Codex: now, or in a turn that began at this Unix time."""

    def last(self) -> str | None:
        """Return the thread that the bridge is on, by what was kept."""

    def holds(self, thread_id: str, turn: codex.Turn) -> bool:
        """Whether a turn has a message that we gave to this very thread; a fork copies others."""

    def taken(self, message_id: str, turn_id: str) -> None:
        """A message of ours is part of this turn."""

    def unsettled(self) -> Mapping[str, float]:
        """
        Return the threads that hold something of ours, each with the Unix time it is from.

        That is a message that is not answered yet, or a question that a person has not settled.
        """

    def turn_ended(self, thread_id: str, turn: codex.Turn) -> None:
        """A turn ended, and what it said was relayed."""

    def noted(self, message_id: str, thread_id: str, turn: codex.Turn, *, cut: bool) -> None:
        """A message is in the history, and no item shows it; *cut*: nor will its turn."""

    def resumed(self, thread_id: str) -> None:
        """We are subscribed, and have heard again all that the thread asks a person."""

    def attempting(self, message_id: str, step: str, thread_id: str) -> None:
        """A message is about to be sent: from now on it may be there."""

    def tried(self, message_id: str) -> list[tuple[str, float]]:
        """Return the threads where a message may be, each with the Unix time of the attempt."""

    def kicked(self, message_id: str) -> bool:
        """Whether a message was to start a queue that an interrupt had left paused."""

    def unconfirmed(self) -> list[Mail]:
        """Return the messages in Codex's hands that no turn has shown yet."""

    def placed(self, message_id: str, step: str, thread_id: str) -> None:
        """A message is in Codex's hands."""

    def turned_away(self, message_id: str, step: str, reason: str) -> None:
        """A step did nothing, for this reason; the message goes another way."""

    def failed(self, message_id: str, reason: str) -> None:
        """A message will not be delivered."""
