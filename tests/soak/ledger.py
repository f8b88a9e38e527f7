"""
The ledger: what became of each message, in words for a person, and whether the run has passed.

The rules by which a message need not have come are few, and each is one that the product documents:

* **refused**: its sender was told that nothing was sent. It must never be seen.
* **never completed**: Codex's model was to say it, and before Codex had kept it whole, Codex was
  killed or a message of Claude's steered or interrupted the turn.
* **kept in history**: commentary; and a message without a phase whose turn did not complete.
* **given again, marked**: a session was killed, or its terminal closed, after its model was given a
  message and before Claude Code wrote that down, so nothing could prove it; the next session was
  given it, with a mark that it may be a repeat.
* **failed**: the product gave up on it, and told its sender why. Nothing that is done here makes it
  give up, so not one message may end so.

And a run in which little happened proves little: see :data:`DELIVERED_AT_LEAST`.
"""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tests.soak.books import Mail
from tests.soak.gauge import Trend

DELIVERED = "delivered"
DOUBLED = "doubled"
AGAIN = "given again, marked"
LOST = "lost"
UNEXPLAINED = "unexplained"
REFUSED = "refused"
FAILED = "failed, with a reason"
UNFINISHED = "never completed by Codex"
HISTORY = "kept in history"
BAD = (DOUBLED, LOST, UNEXPLAINED, FAILED)
FULL_LENGTH = 600.0
"""Seconds of a run for which these two hold; for another, in proportion."""
DELIVERED_AT_LEAST = 5000
"""Messages. Two cores do 6,500 to 7,000."""
FAULTS_AT_LEAST = 200
"""Two cores do about 360."""


def verdict(mail: Mail, failed: Iterable[str] = (), ended: Iterable[str] = ()) -> str:
    """
    Say what became of a message.

    *failed* are the nonces that the product gave up on, *ended* the sessions that we ended.
    """
    seen = sum(mail.seen.values())
    if seen > 1 or sum(mail.transcribed.values()) > 1:
        return AGAIN if _was_unproven(mail, set(ended)) else DOUBLED
    if mail.via in ("final", "last", "aside"):
        return _of_codex(mail, bool(seen or mail.transcribed))
    if mail.told == "refused":
        return UNEXPLAINED if seen else REFUSED
    if mail.told != "accepted":
        return UNEXPLAINED
    if seen or mail.transcribed:
        return DELIVERED
    return FAILED if mail.nonce in failed else LOST


def _was_unproven(mail: Mail, ended: set[str]) -> bool:
    """Whether each session but the last was ended with no trace of it, and each later one told."""
    *before, last = mail.seen or [""]
    return (
        set(mail.seen.values()) == {1}
        and ended.issuperset(before)
        and mail.marked.issuperset([*before[1:], last])
        and set(mail.transcribed) <= {last}
        and sum(mail.transcribed.values()) <= 1
    )


def _of_codex(mail: Mail, came: bool) -> str:
    if mail.via == "aside":
        return UNEXPLAINED if came else HISTORY
    if came:
        return DELIVERED
    if not mail.said:
        return UNFINISHED
    return HISTORY if mail.via == "last" and mail.ended != "completed" else LOST


@dataclass(frozen=True)
class Recovery:
    """One fault that was inflicted, and the seconds until all was well."""

    name: str
    seconds: float


@dataclass
class Ledger:
    """All that is told at the end."""

    mail: list[Mail]
    failed: set[str]
    ended: set[str]
    strays: Counter[str]
    recoveries: list[Recovery]
    trends: list[Trend]
    problems: list[str]
    """What went wrong with the run itself."""
    seconds: float
    """How long faults were to be inflicted."""

    def verdicts(self) -> dict[str, list[Mail]]:
        """Sort the messages by what became of them."""
        sorted_: dict[str, list[Mail]] = defaultdict(list)
        for mail in self.mail:
            sorted_[verdict(mail, self.failed, self.ended)].append(mail)
        return sorted_

    @property
    def passed(self) -> bool:
        """Whether nothing is lost, doubled or unexplained, nothing grew, and enough was done."""
        return not any(self.objections())

    def objections(self) -> Iterator[str]:
        """Say why the run has not passed."""
        verdicts = self.verdicts()
        for kind in BAD:
            if mail := verdicts.get(kind):
                yield f"{len(mail)} {kind}"
        if self.strays:
            yield f"{len(self.strays)} seen and never sent"
        yield from (f"{trend.name} grew" for trend in self.trends if not trend.flat)
        if self.problems:
            yield "the run itself broke"
        part = self.seconds / FULL_LENGTH
        for what, found, at_least in (
            ("messages delivered", len(verdicts.get(DELIVERED, ())), DELIVERED_AT_LEAST),
            ("faults", len(self.recoveries), FAULTS_AT_LEAST),
        ):
            if found < at_least * part:
                yield f"{found} {what}, in {self.seconds:g} s at least {at_least * part:.0f}"

    def lines(self) -> Iterable[str]:
        """Write it."""
        yield from self._messages()
        yield from self._faults()
        yield from self._sizes()
        for problem in self.problems:
            yield f"PROBLEM: {problem}"
        yield "PASSED" if self.passed else f"NOT PASSED: {'; '.join(self.objections())}"

    def _messages(self) -> Iterable[str]:
        verdicts = self.verdicts()
        counted: Counter[tuple[str, str]] = Counter(
            (m.way, v) for v, mail in verdicts.items() for m in mail
        )
        yield f"{'messages':<28}{'Claude → Codex':>16}{'Codex → Claude':>16}{'all':>8}"
        rows = [
            ("sent", len(self.mail), *(sum(m.way == way for m in self.mail) for way in WAYS)),
            *((v, len(verdicts.get(v, ())), *(counted[way, v] for way in WAYS)) for v in KINDS),
        ]
        for name, total, to_codex, to_claude in rows:
            yield f"  {name:<26}{to_codex:>16}{to_claude:>16}{total:>8}"
        via = Counter(mail.via for mail in self.mail)
        yield "  by: " + ", ".join(f"{VIA[key]} {count}" for key, count in via.items())
        retried = sum(mail.tries > 1 for mail in self.mail)
        yield f"  asked more than once, with the same key: {retried}"
        if self.strays:
            yield f"  seen and never sent: {dict(self.strays)}"
        for kind in BAD:
            for mail in verdicts.get(kind, ())[:20]:
                yield f"  {kind}: {mail}"

    def _faults(self) -> Iterable[str]:
        by_kind: dict[str, list[float]] = defaultdict(list)
        for recovery in self.recoveries:
            by_kind[recovery.name].append(recovery.seconds)
        yield "seconds until all was well; 0.10 is the first look"
        yield f"{'faults':<34}{'count':>7}{'median':>10}{'worst':>10}"
        for name, times in sorted(by_kind.items()):
            yield f"  {name:<32}{len(times):>7}{statistics.median(times):>10.2f}{max(times):>10.2f}"
        yield f"  {'all':<32}{len(self.recoveries):>7}"

    def _sizes(self) -> Iterable[str]:
        yield "size, of the incarnation that lived longest: median of its first and last third"
        for trend in self.trends:
            (before, after), (few, many) = trend.megabytes, trend.descriptors
            yield (
                f"  {trend.name:<8} over {trend.seconds:4.0f} s: {before:.1f} → {after:.1f} MB, "
                f"{few:.0f} → {many:.0f} descriptors{'' if trend.flat else '   GREW'}"
            )


WAYS = ("to_codex", "to_claude")
KINDS = (DELIVERED, AGAIN, REFUSED, FAILED, UNFINISHED, HISTORY, LOST, DOUBLED, UNEXPLAINED)
VIA = {
    "tool": "Claude's tool call",
    "person": "a person at the admin door",
    "final": "Codex's final answer",
    "last": "Codex's last word without a phase",
    "aside": "Codex's commentary",
}
