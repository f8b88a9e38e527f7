"""
Messages for this session that are not proven to have reached the model, in the bridge's order.

How often and by which way a message is handed over is the ladder's decision, whatever the daemon
repeats; what was proven is never shown again, and its proof is reported again instead.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from agentbridged.machines.ladder import Passage
from agentbridged.wire.claude import Message, Step

REMEMBERED = 10_000
"""Ids remembered after their message is gone."""


@dataclass
class Entry:
    """One message and how far it has come."""

    message: Message
    passage: Passage = field(default_factory=Passage)
    repeat: bool = False
    """Handed to some session before, without proof."""
    is_old: bool = False
    """From before this server: one before it may have handed it over, and nobody was told."""
    handed: int = 0
    """Characters of the text that were handed over; all but for a very long one."""

    @property
    def pushed(self) -> bool:
        """Whether it was handed to this very session, now or before."""
        return bool(self.passage.handed)

    @property
    def is_repeat(self) -> bool:
        """Whether the model may have had it before: it was handed over, without proof."""
        return self.repeat or self.pushed

    @property
    def is_whole(self) -> bool:
        """Whether all of the text was handed over."""
        return self.handed >= len(self.message.text)


class Mailbox:
    """The unconfirmed messages of one session."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._pushed: dict[str, int] = {}
        self._confirmed: dict[str, None] = {}

    def add(self, message: Message, *, pushed: bool = False, is_old: bool = False) -> bool:
        """
        Keep a message that came; *pushed* says that this process was given it before.

        *is_old* says that it is from before this server.

        Returns false when it is known to be consumed already: tell the daemon so again.
        """
        if message.id in self._confirmed:
            return False
        if message.id not in self._entries:
            handed = self._pushed.get(message.id, len(message.text) if pushed else 0)
            known = pushed or message.id in self._pushed
            entry = Entry(
                message,
                Passage(handed=["inbox"] if known else []),
                repeat=message.written_to is not None,
                handed=handed,
                is_old=is_old,
            )
            self._entries[message.id] = entry
        return True

    def unconfirmed(self) -> list[Entry]:
        """Return all messages without proof, in order."""
        return sorted(self._entries.values(), key=lambda entry: entry.message.seq)

    def waiting(self) -> list[Entry]:
        """Return what was not yet handed over in any way, in order."""
        return [entry for entry in self.unconfirmed() if not entry.pushed]

    def sought(self) -> set[str]:
        """Return the ids that a transcript may show: they were, or may have been, handed over."""
        return {i for i, e in self._entries.items() if e.is_repeat or e.is_old}

    def pushed(
        self, entry: Entry, handed: int, step: Step = "read", *, now: float = 0.0, batch: str = ""
    ) -> None:
        """This message is handed over by this way, or its first *handed* characters are."""
        entry.passage.hand(step, now=now, batch=batch)
        if step == "read":
            entry.passage.sign = "shown"
        entry.handed = handed
        self._pushed[entry.message.id] = handed
        _forget(self._pushed)

    def failed(self, entry: Entry, step: Step) -> None:
        """The way did not take it after all."""
        entry.passage.fail(step)
        if not entry.pushed:
            entry.handed = 0
            self._pushed.pop(entry.message.id, None)

    def confirm(self, ids: Collection[str]) -> list[str]:
        """These are proven; returns those that were not before."""
        news = [i for i in ids if self._entries.pop(i, None) is not None]
        self._confirmed.update(dict.fromkeys(news))
        _forget(self._confirmed)
        return news

    def clear(self) -> None:
        """The seat is gone: the daemon sends what is unconfirmed to the next holder, or again."""
        self._entries.clear()

    def __contains__(self, id: str) -> bool:
        """Whether it is here, without proof."""
        return id in self._entries

    def __len__(self) -> int:
        return len(self._entries)


def _forget(ids: dict[str, int] | dict[str, None]) -> None:
    while len(ids) > REMEMBERED:
        del ids[next(iter(ids))]
