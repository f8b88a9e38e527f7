"""
The whole life of some messages, both ways, on one database, through all that can befall it.

It may be begun again on what an earlier, interrupted one left: then everything comes a second time,
as it does after a crash, and the end must be the same.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from agentbridged.bridges.approvals import Approvals
from agentbridged.bridges.bridge import Bridge
from agentbridged.bridges.registry import Bridges
from agentbridged.claude.session import Session
from agentbridged.codex.client import AppServerClient
from agentbridged.config import Config
from agentbridged.errors import StoreUnavailable
from agentbridged.machines.outbox import TRANSITIONS, State
from agentbridged.machines.relay_policy import Relayed, Route
from agentbridged.store import Store
from agentbridged.store.schema import SCHEMA_VERSION
from agentbridged.wire import claude, codex
from tests.bridges.test_bridge import Seat
from tests.store.clock import Clock

DAY = 86_400.0
MOVED = "moved away"
NEWER = SCHEMA_VERSION + 96

Tell = Callable[[str, str, str], None]
"""Told of what was acknowledged: ``message`` or ``bridge`` or ``approval``, which, its state."""


class Life:
    """One run; *tell* hears of each thing only after the store said that it is kept."""

    def __init__(self, directory: Path, tell: Tell, store: type[Store] = Store) -> None:
        self.path = directory / "state" / "a.db"
        self.project = directory.parent / "project"
        self.project.mkdir(exist_ok=True)
        self.path.parent.mkdir(exist_ok=True)
        self.clock = Clock()
        self.tell = tell
        self._kind = store
        as_a_person_would(self.path)
        self.seat = Seat()

    async def run(self) -> None:
        """Live from the beginning to the end."""
        try:
            self.open()
            await asyncio.sleep(0)  # what waits is given to the session
            self.an_old_message()
            self.claude_asks()
            self.codex_answers()
            self.a_turn_that_ends_badly()
            self.people()
            self.questions()
            self.a_lock()
            self.a_file_that_vanishes()
            self.a_damaged_file()
            self.an_interrupted_replacement()
            await asyncio.sleep(0)
            self.a_newer_version()
            await asyncio.sleep(0)
            self.forget()
        finally:
            self.store.close()

    def open(self) -> None:
        self.store = self._kind(self.path, self.clock)
        self.store._db.execute("PRAGMA busy_timeout = 10")
        self.bridges = Bridges(
            self.store, Config, opened=lambda bridge: None, resumed=lambda thread_id: None
        )
        self.bridge: Bridge = self.bridges.at(self.project)
        if self.bridge.row.state != "active":
            self.store.set_bridge_state(self.bridge.id, "active", by="a new beginning")
        self.bridge.seated(cast(Session, self.seat))
        self.ledger = self.bridge.codex.owner

    def send(self, text: str) -> str:
        send = claude.Send(text=text, idempotency_key=text, person_at=self.clock.now)
        sent = self.bridge.accept(send, sender="claude")
        self.tell("message", text, sent.state)
        return sent.id

    def an_old_message(self) -> None:
        now = self.clock.now
        self.clock.now -= 100 * DAY
        id = self.bridge.accept(claude.Send(text="old", idempotency_key="old"), sender="claude").id
        self.clock.now = now
        self.store.advance([id], "failed", step="give up")

    def claude_asks(self) -> None:
        self.ledger.bound("t", "u0@0")
        self.asked = self.send("question")
        self.ledger.attempting(self.asked, "queue", "t")
        self.ledger.placed(self.asked, "queue", "t")
        self.tell("message", "question", "written")
        self.ledger.taken(self.asked, "u1")
        self.tell("message", "question", "consumed")
        self.ledger.failed(self.send("hopeless"), "Codex refused it")
        self.tell("message", "hopeless", "failed")

    def codex_says(self, text: str, route: Route = Route.PUSH) -> str:
        said = Relayed(f"item of {text}", "u1", text, route, in_reply_to=None)
        self.ledger.relayed("t", [said])
        (row,) = [m for m in self.store.history(self.bridge.id, limit=1000) if m.text == text]
        return row.id

    def codex_answers(self) -> None:
        self.codex_says("thinking", Route.HISTORY)
        self.tell("message", "thinking", "history")
        answer = self.codex_says("answer")
        self.tell("message", "answer", "accepted")
        self.ledger.turn_ended("t", codex.Turn("u1", "completed", startedAt=1.0))
        self.tell("message", "question", "answered")
        self.tell("bridge", "cursor", "u1@1")
        session = cast(Session, self.seat)
        self.bridge.tried(session, claude.Tried(ids=[answer], step="inbox", result="refused"))
        for _ in range(2):
            self.bridge.delivered(session, claude.Delivered(ids=[answer], step="inbox"))
        self.tell("message", "answer", "written")
        self.bridge.consumed(session, claude.Consumed(ids=[answer], proof="transcript"))
        self.tell("message", "answer", "consumed")

    def a_turn_that_ends_badly(self) -> None:
        id = self.send("interrupted")
        self.ledger.attempting(id, "queue", "t")
        self.ledger.placed(id, "queue", "t")
        self.ledger.taken(id, "u2")
        self.ledger.turn_ended("t", codex.Turn("u2", "interrupted", startedAt=2.0))
        self.tell("message", "interrupted", "consumed")
        id = self.send("noted")
        self.ledger.attempting(id, "queue", "t")
        self.ledger.noted(id, "t", codex.Turn("u3", "interrupted"), cut=True)
        self.tell("message", "noted", "consumed")

    def people(self) -> None:
        self.bridge.accept_for_claude(claude.Send(text="a person's", idempotency_key="a person's"))
        self.tell("message", "a person's", "accepted")
        for verb, state in (("pause", "paused"), ("resume", "active"), ("kill", "killed")):
            self.bridges.change([self.bridge.id], verb, by="anna", reason="")  # type: ignore[arg-type]
            self.tell("bridge", "state", state)
        self.bridges.change([self.bridge.id], "revive", by="anna", reason="")
        self.tell("bridge", "state", "active")

    def questions(self) -> None:
        approvals = Approvals(self.store, lambda row, new: None)
        approvals.connected(cast(AppServerClient, None), "7:1.00")
        for number in (1, 2):
            params = {"threadId": "t", "turnId": "u1", "itemId": f"i{number}", "command": "true"}
            method = "item/commandExecution/requestApproval"
            approvals.asked(self.bridge.id, codex.ServerRequest(number, method, params))
        for row in self.store.open_approvals(self.bridge.id):
            self.tell("approval", row.id, "pending")
            if row.request_id == 1 and row.state == "pending":
                approvals.answer(row.id, allow=True, by="anna")
                self.tell("approval", row.id, "answered")
        for number in (1, 2):
            approvals.resolved(codex.RequestResolved("t", number))
        item = codex.Item("commandExecution", "i2", status="completed")
        approvals.item_completed(codex.ItemCompleted("t", "u1", item))

    def a_lock(self) -> None:
        other = sqlite3.connect(self.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            self.send("refused")
        except StoreUnavailable:
            pass
        else:
            raise AssertionError("it was taken in spite of the lock")
        self.bridges.change([self.bridge.id], "pause", by="anna", reason="while locked")
        other.close()
        assert self.store.recheck()
        self.tell("bridge", "state", "paused")
        self.bridges.change([self.bridge.id], "resume", by="anna", reason="")
        self.tell("bridge", "state", "active")

    def a_file_that_vanishes(self) -> None:
        os.replace(self.path, self.path.with_name(MOVED))
        self.send("after it vanished")
        self.path.with_name(MOVED).unlink()

    def an_interrupted_replacement(self) -> None:
        self.store.close()
        os.replace(self.path, f"{self.path}.new")
        self.open()

    def a_damaged_file(self) -> None:
        # Nothing is wrong with it, so that everything can be saved: what is tried is the saving.
        error = sqlite3.DatabaseError("database disk image is malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        self.store._begin_anew(error)
        self.send("after it was damaged")

    def a_newer_version(self) -> None:
        self.store.close()
        _set_version(self.path, NEWER)
        self.open()
        self.codex_says("said in memory")
        self.bridges.change([self.bridge.id], "kill", by="anna", reason="in memory")
        _set_version(self.path, SCHEMA_VERSION)
        assert self.store.recheck()
        self.tell("message", "said in memory", "accepted")
        self.tell("bridge", "state", "killed")

    def forget(self) -> None:
        self.store.prune(90)
        self.tell("message", "old", "forgotten")


def as_a_person_would(path: Path) -> None:
    """Undo what no daemon can: a file taken away just before its end, a newer version."""
    if not path.exists() and path.with_name(MOVED).exists() and not Path(f"{path}.new").exists():
        os.replace(path.with_name(MOVED), path)
    if path.exists() and path.stat().st_size:
        database = sqlite3.connect(path)
        newer = database.execute("PRAGMA user_version").fetchone()[0] == NEWER
        database.close()
        if newer:
            _set_version(path, SCHEMA_VERSION)


def _set_version(path: Path, version: int) -> None:
    database = sqlite3.connect(path)
    database.execute(f"PRAGMA user_version = {version}")
    database.close()


def live(directory: Path, tell: Tell, store: type[Store] = Store) -> None:
    """Live once."""

    async def run() -> None:
        await Life(directory, tell, store).run()

    asyncio.run(run())


def picture(store: Store) -> dict[str, Any]:
    """Return all that must be the same at the end of every life."""
    return {
        "bridges": [(b.state, b.thread_id, b.cursor, b.attached) for b in store.bridges()],
        "messages": sorted(
            (m.direction, m.sender, m.text, m.state, m.turn_id)
            for m in store.history(None, limit=1000)
        ),
        "approvals": sorted({(a.request_id, a.state) for a in store.latest_approvals()}),
    }


def onward(state: State) -> set[State]:
    """Return a state, and all that may follow it."""
    found: set[State] = {state}
    for following in TRANSITIONS[state]:
        found |= onward(following)
    return found
