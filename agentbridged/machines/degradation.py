"""
Degradation: what an app-server cannot do as we know it, and what is done instead.

One record for each connection, the only place that keeps this. What is in it is shown by `status`
and by whoever else asks; what we do instead has its words here and its deeds in the ladder to Codex
(:mod:`agentbridged.codex.placing`, :mod:`agentbridged.codex.thread`).
"""

from __future__ import annotations

from dataclasses import dataclass

INSTEAD = {
    "initialize": "go on without experimental methods, and so without Codex's queue",
    "thread/queue/add": "a message starts a turn once the thread is idle, and is held while it "
    "is not",
    "thread/queue/list": "a message in doubt is looked for in the thread's turns alone",
    "thread/queue/start": "a queue that an interrupt has paused goes on after the next turn",
    "thread/turns/list": "the thread is read whole, which is slow when it is long",
    "thread/read": "threads are known only from what Codex announces",
    "thread.path": "a message that Codex noted just as it was killed may come twice",
    "thread/loaded/list": "threads that were open before are found when they are used again",
    "thread/inject_items": "a new thread is given a name so that it is kept; it is not told of "
    "its peer",
    "thread/name/set": "a thread is followed from its first turn on",
    "thread/resume": "no thread can be heard: messages are held, answers are not relayed",
    "thread/unsubscribe": "threads that were left stay loaded",
    "thread/start": "a person has to open the thread",
    "turn/steer": "a message that asks to steer waits for the end of the running turn",
    "turn/interrupt": "a message that asks to interrupt waits for the end of the running turn",
    "turn/start": "a message fails, and its sender is told",
    "turn/completed": "what was said without a phase comes when Codex is connected anew",
    "item/completed": "what was said is read back at the turn's end",
}
"""What is done where a method, or a notification as we know it, is missing."""
OTHERWISE = "it is passed over"

NOT_YET = "not supported yet"
"""With -32601: of a thread that has no history yet, not of a method (measured, 0.169.0)."""


@dataclass(frozen=True)
class Lack:
    """One thing that an app-server does not do as we know it."""

    method: str
    problem: str
    """In the app-server's own words, or what we could not read."""
    instead: str
    since: float
    """Unix time."""


class Degradations:
    """What one app-server lacks."""

    def __init__(self) -> None:
        self._lacks: dict[str, Lack] = {}
        self._missing: set[str] = set()

    def missing(self, method: str, problem: str, *, now: float) -> Lack | None:
        """A method cannot be called; returns what is new, to be told once."""
        self._missing.add(method)
        return self.misread(method, problem, now=now)

    def misread(self, method: str, problem: str, *, now: float) -> Lack | None:
        """An answer or a notification has another shape; returns what is new, to be told once."""
        if method in self._lacks:
            return None
        lack = Lack(method, problem[:300], INSTEAD.get(method, OTHERWISE), now)
        self._lacks[method] = lack
        return lack

    def lacks(self, method: str) -> bool:
        """Whether a method is known to be of no use."""
        return method in self._missing

    def all(self) -> list[Lack]:
        """Return everything, in the order in which it was found."""
        return list(self._lacks.values())


def mismatch(method: str, code: int, message: str) -> bool:
    """
    Whether an error answer says that the app-server has no such method, or another one.

    Codex answers -32600 with serde's words (measured, 0.169.0): an older one lists the methods it
    has, one that refuses its experimental methods names the capability, and one whose params
    changed names the field or the value.
    """
    if code == -32601:
        return NOT_YET not in message
    return message.startswith(
        ("Invalid request:", "Invalid params:", f"{method} requires experimentalApi")
    )
