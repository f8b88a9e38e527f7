"""
Traffic both ways between the two real agents, with something killed in its middle.

Every question and every answer holds a nonce of its own. What arrived, and how often, is read from
what the agents gave their models, never from our own records.
"""

from __future__ import annotations

import json
import random
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.lab import approving, claude
from tests.lab.responses import text_of
from tests.lab.scripted import Json
from tests.lab.tui import ClaudeTui, CodexTui
from tests.lab.waiting import until
from tests.lab.world import World

Strike = Callable[[], None]
"""Kills something, and returns when it is back."""

LONGEST_DELAY = 0.5
"""Seconds after an event of the traffic within which the blow falls."""


class Traffic:
    """Rounds of traffic in one world, all drawn from one seed."""

    def __init__(self, world: World, codex: CodexTui, claude: ClaudeTui, *, seed: int) -> None:
        self.world, self.codex, self.claude = world, codex, claude
        self.chance = random.Random(seed)
        self.to_codex: list[str] = []
        """Every nonce that Claude sent."""
        self.to_claude: list[str] = []
        """Every nonce that Codex said."""
        self._never = threading.Event()
        self._round = 0

    def round(self, strike: Strike, *, cuts: bool = False) -> str:
        """
        Let traffic run, strike in its middle, wait for all of it; returns which kind it was.

        With *cuts* the blow ends the running turn: what that would have said may never come, if
        Claude is told so.
        """
        kinds = [self._questions, self._both_at_once, self._queue, self._approval]
        kind = kinds[self._round % (3 if cuts else 4)]
        self._round += 1
        begun = len(self.to_codex), len(self.to_claude)
        kind(strike)
        to_codex, to_claude = self.to_codex[begun[0] :], self.to_claude[begun[1] :]
        if cuts:
            self.to_claude[begun[1] :] = to_claude = self._not_cut(to_codex, to_claude)
            self._expect([], to_claude)
        else:
            self._expect(to_codex, to_claude)
        return kind.__name__.removeprefix("_")

    # What runs when the blow falls

    def _questions(self, strike: Strike) -> None:
        """Questions and their answers are in flight."""
        before = self._asked_of_models()
        self._ask(3)
        self._moment(before + self.chance.randint(1, 6))
        strike()

    def _both_at_once(self, strike: Strike) -> None:
        """The person types in Codex as well: before the questions and after them."""
        before = self._asked_of_models()
        self._remark()
        self._ask(2)
        self._moment(before + self.chance.randint(2, 5))
        strike()
        # What a person types into a running turn steers it, which cuts the answer being streamed.
        until(self._is_quiet, "Codex has done what it was asked", explain=self.world.report)
        self._remark()

    def _queue(self, strike: Strike) -> None:
        """Codex is busy, and questions wait in its queue."""
        held = self._remark(hold=True)
        self.world.responses.wait_until_held(held)
        before = self._asked_of_models()
        self._ask(3)
        self._moment(before + self.chance.randint(1, 4))
        if early := self.chance.random() < 0.5:
            self.world.responses.release(held)
        strike()
        if not early:
            self.world.responses.release(held)

    def _approval(self, strike: Strike) -> None:
        """Codex waits for a person, and questions wait for Codex."""
        asked = approving.ask(self.world, self.codex)
        before = self._asked_of_models()
        self._ask(2)
        self._moment(before + self.chance.randint(1, 3))
        strike()
        asked.wait_shown_by(self.codex)
        if self.chance.random() < 0.5:
            approving.accept(self.codex)
        else:
            asked.wait_for("pending")
            self.world.data("approvals", "allow", asked.id)
        asked.wait_ended()

    def _is_quiet(self) -> bool:
        bridge = self.world.bridge()
        idle = (bridge.get("codex") or {}).get("status") == "idle"
        return idle and self._are_written_down(self.to_codex[-3:])

    def _are_written_down(self, to_codex: list[str]) -> bool:
        written = self.in_rollouts()
        return all(any(nonce in text for text in written) for nonce in to_codex)

    def _ask(self, count: int) -> None:
        """Have Claude ask so many questions, one tool call after the other."""
        self.claude.wait_idle()
        steps = [self._question() for _ in range(count)]
        self.claude.say(f"x {' ;; '.join(steps)} ;; !say asked")

    def _question(self) -> str:
        question, answer = self._nonce("Q"), self._nonce("A")
        self.to_codex.append(question)
        self.to_claude.append(answer)
        pace = self.chance.randint(5, 60)
        said = self.chance.choice((f"%final {answer}", f"%slow 6 {pace} {answer}"))
        return claude.tool("send_to_codex", text=f"{question}\n{said}")

    def _remark(self, *, hold: bool = False) -> str:
        """Have the person make Codex say something, held in its middle if wanted."""
        remark = self._nonce("R")
        self.to_claude.append(remark)
        rest = f"{remark} {remark} one two three four" if hold else remark
        self.codex.say(f"%{'hold' if hold else 'final'} {rest}")
        return remark

    def _nonce(self, kind: str) -> str:
        return f"{kind}{self.chance.getrandbits(40):010x}"

    def _moment(self, requests: int) -> None:
        """Let the traffic come so far, and then some: what is being done then is left to chance."""
        until(
            lambda: self._asked_of_models() >= requests,
            "the traffic runs",
            every=0.01,
            explain=self.world.report,
        )
        self._never.wait(self.chance.uniform(0, LONGEST_DELAY))

    def _asked_of_models(self) -> int:
        world = self.world
        return len(world.responses.requests()) + len(world.messages.requests())

    # What came of it

    def _not_cut(self, to_codex: list[str], to_claude: list[str]) -> list[str]:
        """Return what Codex got to say; what became of all the rest, Claude must have been told."""
        # A turn that was cut at its start is written down, and the model hears of it by the next.
        until(lambda: self._are_written_down(to_codex), "all is taken", explain=self._evidence)
        until(self._is_quiet, "Codex is idle", explain=self._evidence)
        written = self.in_rollouts()
        counts = {n: sum(n in text for text in written) for n in to_codex}
        assert set(counts.values()) == {1}, f"{counts}\n{self._evidence()}"
        answers = [n for n in to_claude if n.startswith("A")]
        ids = [m["id"] for n in to_codex for m in self.world.history() if n in m["text"]]
        cut = []
        for answer, id in zip(answers, ids, strict=True):

            def settled(answer: str = answer, id: str = id) -> str:
                said = self.world.messages.last_conversation()
                told = re.search(rf"your message [^:]*\b{id}\b.*no answer will come", said)
                return "cut" if told else "said" if f">{answer}" in said else ""

            what = f"{answer}, or word that {id} was cut"
            if until(settled, what, explain=self._evidence) == "cut":
                cut.append(answer)
        said = self.world.messages.last_conversation()
        remarks = [n for n in to_claude if n.startswith("R") and f">{n}" not in said]
        return [n for n in to_claude if n not in cut and n not in remarks[:1]]

    def _expect(self, to_codex: list[str], to_claude: list[str]) -> None:
        for nonce in to_codex:
            self.world.responses.wait_for_prompt(nonce, explain=self._evidence)
        for nonce in to_claude:
            self.world.messages.wait_for_text(f">{nonce}", explain=self._evidence)
        self.expect_once(to_codex, to_claude)

    def _evidence(self) -> str:
        rows = self.world.history()[-12:]
        stories = [self.world.ctl("explain", row["id"]).stdout for row in rows]
        return "\n".join([*stories, self.world.report()])

    def expect_once(self, to_codex: list[str], to_claude: list[str]) -> None:
        """Fail unless each nonce is in front of its agent's model exactly once."""
        at_codex, at_claude = self.at_codex(), self.world.messages.last_conversation()
        wrong = {n: c for n in to_codex if (c := sum(n in text for text in at_codex)) != 1}
        wrong |= {n: c for n in to_claude if (c := at_claude.count(f">{n}")) != 1}
        assert not wrong, f"{wrong}\n{self.world.report()}"

    def at_codex(self) -> list[str]:
        """Return every user message in front of Codex's model."""
        newest = [r for r in self.world.responses.requests() if not r["hidden"]][-1]
        items: list[Json] = newest["body"]["input"]
        return [text_of(item) for item in items if item.get("role") == "user"]

    def in_rollouts(self) -> list[str]:
        """Return every user message that Codex itself wrote down, in all its threads."""
        texts = []
        for file in Path(self.world.codex_home, "sessions").rglob("rollout-*.jsonl"):
            lines = file.read_text(encoding="utf-8").splitlines()
            payloads = (json.loads(line).get("payload") or {} for line in lines)
            texts += [text_of(p) for p in payloads if p.get("role") == "user"]
        return texts

    def crossed_since(self, at: float) -> dict[str, float]:
        """Return the seconds from a moment to the first nonce that each agent got after it."""
        codex = [
            r["at"]
            for r in self.world.responses.requests()
            if r["at"] > at and any(n in r["user"] for n in self.to_codex)
        ]
        seen: dict[str, float] = {}
        for request in self.world.messages.requests():
            for nonce in self.to_claude if request["main"] else ():
                if nonce not in seen and f">{nonce}" in request["said"]:
                    seen[nonce] = request["at"]
        claude_got = [when for when in seen.values() if when > at]
        firsts = {"Codex": min(codex, default=None), "Claude": min(claude_got, default=None)}
        return {name: when - at for name, when in firsts.items() if when is not None}


def now() -> float:
    """Return the time on the clock by which the models note their requests."""
    return time.monotonic()
