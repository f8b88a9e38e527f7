"""
One bridge under the governor: its hops are counted, and a person's word starts the count anew.

The machine decides; here are its facts. They are in the store (what crossed since the last word),
so a restart forgets nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from agentbridged.config import Settings
from agentbridged.errors import StoreError
from agentbridged.machines.governor import Governor, Hop, Limits, Trip
from agentbridged.store.messages import Store
from agentbridged.store.rows import MessageRow

log = logging.getLogger(__name__)


class Tripped(Exception):
    """This message is one too many."""

    def __init__(self, trip: Trip) -> None:
        super().__init__(trip.reason)
        self.trip = trip


class Governing:
    """The governor of one bridge, with its facts."""

    def __init__(self, bridge: str, store: Store, settings: Callable[[], Settings]) -> None:
        self._bridge = bridge
        self._store = store
        self._settings = settings
        self._governor = Governor()
        self._told_at = 0.0
        """When the last word was spoken, by our clock."""
        self._latest = 0.0
        """The latest time that a word was told with, as it was told."""
        self._keep(lambda: store.person_spoke(bridge, first=True))
        self._count_again()

    @property
    def hops(self) -> int:
        """Messages since a person's last word."""
        return self._governor.hops

    def spoke(self, at: float | None = None) -> None:
        """A person had a word, on whichever side: now, or at this Unix time."""
        if at is not None:
            self.spoke_at(at)
            return
        self._told(time.time())
        self._governor.spoke()
        self._keep(lambda: self._store.person_spoke(self._bridge))

    def spoke_at(self, at: float) -> None:
        """A person had a word at this Unix time; what crossed since then counts."""
        now = time.time()
        # A time ahead of us, be it for a clock that was set back, hides no word told with another.
        known = self._latest if at > now else self._told_at if self._told_at <= now else 0.0
        if at <= known:
            return
        self._told(at)
        at = min(at, now)
        if self._all_from_the_future(now):
            self._keep(lambda: self._store.person_spoke(self._bridge))
        else:
            self._keep(lambda: self._store.person_spoke_at(self._bridge, at))
        self._count_again()

    def _told(self, at: float) -> None:
        self._told_at = min(at, time.time())
        self._latest = max(self._latest, at)

    def _all_from_the_future(self, now: float) -> bool:
        """Whether the clock was set back since the last message: a word now is later than it."""
        latest = self._store.history(self._bridge, limit=1)
        return any(message.created_at > now for message in latest)

    def crossed(self, message: MessageRow) -> None:
        """
        Count a message that is to cross the bridge; a person's own starts the count anew.

        Raises :exc:`Tripped` when it is one too many; then it is not counted.
        """
        if message.sender == "person":
            self.spoke()
            return
        governor = self._settings().governor
        hop = _hop(message)
        if governor.enabled:
            limits = Limits(governor.max_hops, governor.max_per_minute)
            if trip := self._governor.judge(hop, limits):
                raise Tripped(trip)
        self._governor.count(hop)

    def _count_again(self) -> None:
        self._governor.spoke()
        for message in self._store.since_word(self._bridge):
            self._governor.count(_hop(message))

    def _keep(self, word: Callable[[], None]) -> None:
        try:
            word()
        except StoreError as error:  # the next word is kept again, and this one is known
            log.info("%s: a person's word is not kept: %s", self._bridge, error)


def _hop(message: MessageRow) -> Hop:
    return Hop(message.direction, message.text, message.created_at)
