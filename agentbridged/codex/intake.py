"""Take in what a bridge's threads say: what is ours is confirmed, what is said is relayed."""

from __future__ import annotations

from collections.abc import Sequence

from agentbridged.codex.owner import Owner
from agentbridged.machines.delivery import Delivery
from agentbridged.machines.relay_policy import Relay
from agentbridged.machines.turns import closed
from agentbridged.wire import codex


class Intake:
    """What comes in from the bound thread, and from earlier ones that still owe us something."""

    def __init__(self, owner: Owner, delivery: Delivery) -> None:
        self.owner, self.delivery = owner, delivery
        self.relay = Relay()
        """Of the bound thread."""
        self.earlier: dict[str, Relay] = {}
        """Of the threads a person switched away from that still hold something of ours."""
        self.behind = False
        """Something was heard that is not kept: nothing is taken in until it is read back."""

    def owed(self, thread_id: str, turns: Sequence[codex.Turn]) -> list[codex.Turn]:
        """Return a thread's turns, oldest first, from the first that has a message of ours on."""
        for number, turn in enumerate(turns):
            if self.owner.holds(thread_id, turn):
                return list(turns[number:])
        return [turn for turn in turns[-1:] if not turn.ended]

    def item(self, thread_id: str, turn_id: str, item: codex.Item) -> None:
        """An item was completed, just now."""
        if not self.behind:
            self._take(thread_id, turn_id, item, replies=False, at=None)

    def ended(self, thread_id: str, turn: codex.Turn, *, replies: bool = False) -> None:
        """A turn ended; *replies*: only answers to our messages are relayed."""
        if self.behind:
            return
        self._take_all(thread_id, turn, replies)  # its last words, at least: we may have just come
        relay, replies_only = self._relaying(thread_id, replies)
        completed = turn.status == "completed"
        said = relay.ended(turn.id, completed=completed, replies_only=replies_only)
        self.owner.relayed(thread_id, said)
        self.owner.turn_ended(thread_id, turn)

    def catch_up(
        self, thread_id: str, missed: Sequence[codex.Turn], *, replies: bool = False
    ) -> None:
        """Take in turns that went by unheard; what was heard before changes nothing."""
        for turn in closed(missed):
            if turn.ended:
                self.ended(thread_id, turn, replies=replies)  # with its items
            else:
                self._take_all(thread_id, turn, replies)

    def _take_all(self, thread_id: str, turn: codex.Turn, replies: bool) -> None:
        for item in turn.items:
            self._take(thread_id, turn.id, item, replies=replies, at=turn.startedAt or 0.0)

    def _take(
        self, thread_id: str, turn_id: str, item: codex.Item, *, replies: bool, at: float | None
    ) -> None:
        """Take in an item of a turn that began at this Unix time; ``None``: of one that runs."""
        ours = item.clientId is not None and self.owner.is_ours(item.clientId)
        if ours and item.clientId is not None:
            self.delivery.found(item.clientId)
            self.owner.taken(item.clientId, turn_id)
        elif item.type == "userMessage" and item.said:
            self.owner.person_spoke(at)
        relay, replies_only = self._relaying(thread_id, replies)
        said = relay.item(turn_id, item, ours=ours, replies_only=replies_only)
        self.owner.relayed(thread_id, said)

    def _relaying(self, thread_id: str, replies: bool) -> tuple[Relay, bool]:
        """Return a thread's relay, and whether only answers to our messages go through it."""
        if thread_id in self.earlier:
            return self.earlier[thread_id], True
        return self.relay, replies or self.owner.replies_only()
