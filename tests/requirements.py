"""
What sessions, approvals and recovery must do: one sentence each, and where it comes from.

A test that proves one names it: ``@pytest.mark.requirement("S1")``; ``tests/test_requirements.py``
holds table and tests to each other. The reference is the system whose change this follows; we are
stricter where its own weaknesses (numbered) ask for it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Requirement:
    """One case: its id, the sentence that must hold, and its source."""

    id: str
    sentence: str
    source: str


def _table(*rows: tuple[str, str, str]) -> dict[str, Requirement]:
    return {id: Requirement(id, sentence, source) for id, sentence, source in rows}


SESSIONS = _table(
    (
        "S1",
        "Close code 4001 has one home and is named for what it is: a newcomer rejected. Its reason "
        "names the holder: pid, session, since when.",
        "reference 1.3",
    ),
    (
        "S2",
        "A newcomer is rejected while the holder's connection is anything but closed, closing "
        "included; the holder is neither disturbed nor told.",
        "reference 1.4",
    ),
    (
        "S3",
        "A client tells rejected, evicted, killed and contract from a lost connection by the close "
        "code, and only after a lost connection reconnects by itself.",
        "reference 1.6, 2.2",
    ),
    (
        "S4",
        "A rejected session is dormant for good: fifty newcomers make fifty connections and no "
        "more, and requests in flight fail at once in the rejection's own words.",
        "reference 1.7",
    ),
    (
        "S5",
        "A person can seat a rejected session: by the tool `attach`, by `take_over`, which evicts, "
        "and by `agentbridgectl seat release`.",
        "reference weakness 38",
    ),
    (
        "S6",
        "A holder that died in whatever way does not lock the seat; no number of contests evicts "
        "a holder that lives.",
        "reference 2.5, incidents 1 and 12, weakness 39",
    ),
    (
        "S7",
        "A killed session polls every 5 s and is back once its bridge is revived and the daemon "
        "lives, across restarts, upgrades and new pids; the error says who, when and the way back.",
        "reference 1.7, weakness 52",
    ),
    (
        "S8",
        "Status, errors and notices take reason, words and retry rule from one table.",
        "reference 1.7",
    ),
    (
        "S9",
        "A lost connection is sought again after 0.1 s to 30 s with jitter, for ever, with at most "
        "one notice in 30 s; the resumed session gets what it missed, in order, once.",
        "reference 1.7, weaknesses 1 to 8 and 40",
    ),
)

APPROVALS = _table(
    (
        "A1",
        "An approval pending when its TUI dies is shown by the next TUI that resumes the thread, "
        "even before the old socket closed, and accepting it runs the command exactly once.",
        "reference 1.9, approvals 5",
    ),
    (
        "A2",
        "A pending approval is shown only once its thread is resumed, and on no other thread.",
        "reference weaknesses 22 and 25, incident 7",
    ),
    (
        "A3",
        "No timer drops a valid approval: after an hour it can still be answered.",
        "reference 1.9",
    ),
    (
        "A4",
        "An answer given while the connection is down is kept and sent when it is back, within the "
        "same app-server; it is repeated only while nothing told that it arrived.",
        "reference 1.9, approvals 4, weakness 24",
    ),
    (
        "A5",
        "When the app-server's generation ends its approvals are orphaned: a late answer is "
        "refused for that reason and reaches no other request of the same id.",
        "reference 1.9, approvals 6, weakness 23",
    ),
    (
        "A6",
        "An id keeps its JSON type; a request of an unknown method is passed on and shown, never "
        "dropped and never answered by us.",
        "reference 1.9, incident 6",
    ),
    (
        "A7",
        "Claude is told once that Codex waits for a person, and for what; status says since when; "
        "Claude can answer by no tool and no message.",
        "reference weakness 26",
    ),
    (
        "A8",
        "`agentbridgectl approvals` lists and answers; the first answer wins between TUI and desk; "
        "every answer is on record: who, when, what.",
        "our design, section 6",
    ),
)

CONNECTIONS = _table(
    (
        "C1",
        "Every connection of a TUI (picker, resume, fork, a second TUI) has its own upstream, and "
        "none disturbs another.",
        "reference 1.9, weakness 28",
    ),
    (
        "C2",
        "A client gone before its upstream opened closes it on opening; an upstream gone first "
        "closes the client. Nothing leaks.",
        "reference 1.9",
    ),
    (
        "C3",
        "What a TUI sends while the app-server starts is kept in bounds of bytes and time and "
        "passed on in order; beyond them the TUI is closed so that it reconnects.",
        "reference 2.11, weaknesses 10 to 12",
    ),
    (
        "C4",
        "The late close, message or exit of an older child or connection changes nothing.",
        "reference 1.9, generation counter",
    ),
    (
        "C5",
        "A thread switch in the TUI moves the bridge: the latest issued wins, late answers of "
        "older ones change nothing, and Claude hears of it once.",
        "reference 2.8, incident 3",
    ),
    (
        "C6",
        "A thread without a turn survives a restart of the proxy, and no TUI ends in paused input.",
        "reference weakness 32",
    ),
)

TURNS = _table(
    (
        "T1",
        "What a thread does comes from the app-server, per thread and turn: a lost end, a failed "
        "steer, a crashed or interrupted turn never leaves the bridge busy.",
        "reference weaknesses 13 to 17 and 21, incident 2",
    ),
    (
        "T2",
        "`queue`, `steer` and `interrupt` on a running, finishing, waiting or failed turn, with "
        "and without a key, twice at once: delivered once or clearly refused; an interrupt that "
        "times out injects nothing.",
        "reference 2.9, incidents 15 and 16",
    ),
)

PACKAGE = _table(
    (
        "P1",
        "The shipped plugin is in sync with its source, the check fails where it is not, "
        "`plugin verify` tells an installed one of another version, and a development install "
        "builds first.",
        "reference 2.7, incident 9",
    ),
)

REQUIREMENTS: dict[str, Requirement] = {**SESSIONS, **APPROVALS, **CONNECTIONS, **TURNS, **PACKAGE}
