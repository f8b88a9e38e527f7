"""
What was sent, what its sender was told, and who saw it: from outside the product, thread-safe.

Each message carries a nonce, ``nonce-000042``. Who sends one writes it down before; the mock models
write down which they were shown. What is in here knows nothing of the product's own records.
"""

from __future__ import annotations

import itertools
import random
import re
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

NONCE = re.compile(r"nonce-\d{6}")
NONCE_LENGTH = len("nonce-000000")
Way = Literal["to_codex", "to_claude"]
Fate = Literal["", "accepted", "refused", "unknown"]


@dataclass
class Mail:
    """One message, and what is known of it."""

    nonce: str
    bridge: str
    way: Way
    via: str
    """``tool``: Claude's; ``person``: the admin door; ``final``, ``last``, ``aside``: Codex."""
    text: str = field(repr=False)
    told: Fate = ""
    """What its sender was told; of what Codex said, nobody is told anything."""
    reason: str = ""
    tries: int = 0
    seen: dict[str, int] = field(default_factory=dict)
    """Thread or session → in how many user messages of it the model saw this, at most."""
    marked: set[str] = field(default_factory=set)
    """Where it was said that it may be a repeat."""
    said: bool = False
    """Codex itself has kept it as something its model said in full."""
    ended: str = ""
    """How Codex's turn ended in which it was said."""
    transcribed: dict[str, int] = field(default_factory=dict)
    """Session → in how many lines of its transcript this reached the model."""
    at: float = field(default_factory=time.monotonic)
    seen_at: float = 0.0


class Books:
    """All messages of a run."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._mail: dict[str, Mail] = {}
        self._in_call: dict[str, set[str]] = defaultdict(set)
        self._again: dict[str, list[str]] = defaultdict(list)
        self.ended: set[str] = set()
        """Sessions that we ended: what their model had been given may be unwritten."""
        self.strays: Counter[str] = Counter()
        """Nonces that were seen and never sent."""

    def write(self, bridge: str, way: Way, via: str, filler: str = "") -> Mail:
        """Write down a new message before it is sent."""
        with self._lock:
            nonce = f"nonce-{next(self._numbers):06d}"
            mail = Mail(nonce, bridge, way, via, f"{nonce} {filler}".rstrip())
            self._mail[nonce] = mail
            return mail

    def told(self, nonce: str, fate: Fate, reason: str = "") -> None:
        """Its sender was told this; a doubt is no last word."""
        with self._lock:
            mail = self._mail[nonce]
            if mail.told in ("", "unknown"):
                mail.told, mail.reason = fate, reason
            elif fate != "unknown" and fate != mail.told:
                mail.reason += f" | then told {fate}: {reason}"

    # Claude's calls

    def calling(self, mail: Mail) -> None:
        """Claude's model calls the tool for this."""
        with self._lock:
            mail.tries += 1
            self._in_call[mail.bridge].add(mail.nonce)

    def answered(self, nonce: str, fate: Fate, reason: str) -> None:
        """Claude's call was answered; in doubt, it is to be made again."""
        with self._lock:
            bridge = self._mail[nonce].bridge
            if nonce in self._in_call[bridge]:
                self._in_call[bridge].discard(nonce)
                if fate == "unknown":
                    self._again[bridge].append(nonce)
            self.told(nonce, fate, reason)

    def hung_up(self, bridge: str) -> None:
        """The session of a bridge is no more: its calls will not be answered, and are repeated."""
        with self._lock:
            self._again[bridge] += sorted(self._in_call.pop(bridge, ()))

    def take_again(self, bridge: str, most: int) -> list[Mail]:
        """Take what must be repeated, with the same key."""
        with self._lock:
            taken, self._again[bridge] = self._again[bridge][:most], self._again[bridge][most:]
            return [self._mail[nonce] for nonce in taken]

    def owed(self, bridge: str) -> int:
        """Count the sends whose fate is yet to be learned."""
        with self._lock:
            return len(self._again[bridge]) + len(self._in_call[bridge])

    # What was seen

    def sighted(
        self, way: Way, where: str, nonces: Iterable[str], marked: Iterable[str] = ()
    ) -> None:
        """A model's request holds these, each as often as it is in it."""
        counted = Counter(nonces)
        repeats = set(marked)
        with self._lock:
            for nonce, times in counted.items():
                mail = self._mail.get(nonce)
                if mail is None or mail.way != way:
                    self.strays[nonce] += 1
                    continue
                mail.seen_at = mail.seen_at or time.monotonic()
                mail.seen[where] = max(times, mail.seen.get(where, 0))
                if nonce in repeats:
                    mail.marked.add(where)

    def waiting(self, bridge: str, way: Way) -> int:
        """Count what was accepted, or said, on a bridge and not seen yet."""
        with self._lock:
            return sum(
                not mail.seen
                for mail in self._mail.values()
                if (mail.bridge, mail.way) == (bridge, way) and mail.told in ("accepted", "")
            )

    def all(self) -> list[Mail]:
        """Return all messages."""
        with self._lock:
            return list(self._mail.values())

    def get(self, nonce: str) -> Mail | None:
        """Return one message."""
        with self._lock:
            return self._mail.get(nonce)
