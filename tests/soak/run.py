"""One run: traffic, faults, and the ledger."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.lab.scripted import Json
from tests.lab.waiting import NeverHappened, until
from tests.soak.books import NONCE_LENGTH, Books
from tests.soak.faults import HARM, Fault, Faults
from tests.soak.gauge import Gauge, trend
from tests.soak.ledger import LOST, UNEXPLAINED, Ledger, Recovery, verdict
from tests.soak.person import Person
from tests.soak.scene import Scene
from tests.soak.truth import Truth

DRAIN = 150.0
"""Seconds after the last fault until everything must have come."""
KICK_EVERY = 5.0
"""Seconds until a Claude that owes an answer, and sleeps, is written to again."""
YOUNG = 0.4
"""The part of a run in which daemon and proxy are killed; then they grow old, and are measured."""


@dataclass(frozen=True)
class Plan:
    """How long, by which dice, how hard."""

    seconds: float
    seed: int
    fault_pause: float = 0.9
    """Seconds, on average, between all being well and the next fault."""
    person_pause: float = 0.35
    """Seconds, on average, between two messages of the person's."""


class Run:
    """A soak from its beginning to its ledger."""

    def __init__(self, scene: Scene, plan: Plan, say: Callable[[str], None]) -> None:
        self.scene, self.plan, self._say = scene, plan, say
        self._dice = random.Random(plan.seed)
        self._person = Person(scene, random.Random(plan.seed + 1), plan.person_pause)
        self._gauge = Gauge(scene)
        self._truth = Truth(scene.books, scene.codex_home, scene.claude_dir)
        self._recoveries: list[Recovery] = []
        self._problems: list[str] = []
        self._last: dict[str, float] = {}
        self._started = 0.0

    def go(self) -> Ledger:
        """Run; returns the ledger. What breaks the run itself is in it as a problem."""
        self._started = time.monotonic()
        self.scene.begin()
        self._log(f"both bridges stand: {self.scene.whole() or 'all is well'}")
        self.scene.traffic.open.set()
        self._gauge.start()
        self._person.start()
        for project in self.scene.projects:
            self._person.write_to_claude(str(project))
        try:
            self._faults()
        except Exception as error:
            self._problem(f"after {self._recoveries[-1:]}: {error}")
        self._drain()
        self._gauge.stop()
        return self._ledger()

    def _faults(self) -> None:
        faults = Faults(self.scene, self._dice)
        begun = time.monotonic()
        pause = threading.Event()
        while (spent := time.monotonic() - begun) < self.plan.seconds:
            pause.wait(self._dice.uniform(0, 2 * self.plan.fault_pause))
            fault = self._choose(old=spent > YOUNG * self.plan.seconds)
            faults.said = ""
            with self._person.typing:
                since = fault.inflict(faults) or time.monotonic()
                self._last[fault.name] = time.monotonic()
                last = self.scene.wait_whole()
            took = time.monotonic() - since
            self._recoveries.append(Recovery(fault.name, took))
            what = f"{fault.name} {faults.said}".strip()
            self._log(f"{len(self._recoveries):4} {what}: well after {took:.2f} s; {last}")

    def _choose(self, *, old: bool) -> Fault:
        now = time.monotonic()
        ready = [
            fault
            for fault in HARM
            if (fault.ages or not old) and now - self._last.get(fault.name, -1e9) > fault.spacing
        ]
        return self._dice.choices(ready, [fault.weight for fault in ready])[0]

    def _drain(self) -> None:
        """Send nothing new, and wait until what was sent has come."""
        self.scene.traffic.open.clear()
        self.scene.calm()
        kicked = [time.monotonic()]
        self._log("no more faults; nothing new is sent")
        try:
            self.scene.wait_whole()
            self._person.stop()
            until(
                lambda: self._settled(kicked),
                "everything has come",
                within=DRAIN,
                every=0.5,
            )
        except NeverHappened as error:
            self._problem(str(error).partition("\n")[0])
        self._truth.look()

    def _settled(self, kicked: list[float]) -> bool:
        self._truth.look()
        owing = [p for p in map(str, self.scene.projects) if self.scene.books.owed(p)]
        if owing and time.monotonic() - kicked[0] > KICK_EVERY:
            kicked[0] = time.monotonic()
            for project in owing:
                self._person.write_to_claude(project)
        verdicts = {verdict(mail) for mail in self.scene.books.all()}
        return not owing and not verdicts & {LOST, UNEXPLAINED}

    def _ledger(self) -> Ledger:
        trends = [trend(self._gauge.longest(name)) for name in ("daemon", "proxy")]
        return Ledger(
            self.scene.books.all(),
            self._given_up(),
            self.scene.books.ended,
            self.scene.books.strays,
            self._recoveries,
            [one for one in trends if one],
            self._problems,
            self.plan.seconds,
        )

    def _given_up(self) -> set[str]:
        """Return the nonces of the messages that the product says it gave up on."""
        failed = set()
        for project in self.scene.projects:
            rows = _pages(self.scene, str(project))
            failed |= {row["text"][:NONCE_LENGTH] for row in rows if row["state"] == "failed"}
        return failed

    def _problem(self, text: str) -> None:
        self._problems.append(text[:2000])
        self._log(f"PROBLEM {text}")
        os.environ["AGENTBRIDGE_KEEP_WORLDS"] = "1"

    def _log(self, text: str) -> None:
        self._say(f"{time.monotonic() - self._started:7.1f} {text}")


def _pages(scene: Scene, project: str) -> Iterator[Json]:
    """Give all messages of a bridge, as the product keeps them."""
    before: dict[str, int] = {}
    while rows := scene.rpc("message.list", project_dir=project, limit=1000, **before)["messages"]:
        yield from rows
        before = {"before_seq": rows[0]["seq"]}


def soak(plan: Plan, say: Callable[[str], None]) -> Ledger:
    """Run a soak in a world of its own; keeps that world when it has not passed."""
    books = Books(plan.seed)
    with Scene.open(books=books) as scene:
        run = Run(scene, plan, say)
        ledger = run.go()
        say(
            f"        model turns: Claude {scene.claude_model.turns}, "
            f"Codex {scene.codex_model.turns}; Claude sessions: {scene.sessions}"
        )
        if not ledger.passed:
            os.environ["AGENTBRIDGE_KEEP_WORLDS"] = "1"
            say(f"        the world is kept: {scene.home}")
        return ledger
