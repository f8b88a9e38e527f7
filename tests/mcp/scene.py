"""
One bridge's daemon, one Claude Code and its shim: what can be done to them, and what must hold.

Both sides of ours are the real ones, with store, seat, line and ladder; Claude Code and the wire
are a model, and the time is virtual.
"""

from __future__ import annotations

import asyncio
import json
import logging
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

from agentbridged.errors import Refused
from agentbridged.machines.ladder import HOOK_LIMIT
from agentbridged.machines.relay_policy import Relayed, Route
from agentbridged.machines.switch import Verb, way_out
from agentbridged.mcp import connection, shim
from agentbridged.store import MessageRow, Store
from agentbridged.wire.mcp import ReadMessages, TurnEnded, WaitForMessage
from tests.conftest import VirtualClockLoop
from tests.mcp.line import Line
from tests.mcp.model import LAG, ClaudeCode, Conversation, Shown, told
from tests.mcp.sides import BRIDGE, ROOT, Daemon, Processes, Server, Troubles, ended, refused

T = TypeVar("T")

LONG = 7000
"""Characters that no answer of the hook holds whole."""
MOMENT = 0.05
"""Seconds in which all is done that can be done at once."""
PATIENCE = 2
"""Rounds without a change after which nothing is left to do."""
ROUNDS = 60
"""More than any calm takes."""


class Loop(VirtualClockLoop):
    """Its time stands still for a moment, and for no more."""

    patience = 50_000


class Scene:
    """The parts, and what happened: what Codex said, in order, and every conversation there was."""

    def __init__(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.home = Path(self.directory.name)
        self.store = Store(self.home / "db")
        self.store.ensure_bridge(BRIDGE, ROOT)
        self.store.mark_attached(BRIDGE)
        self.loop = Loop()
        self.troubles = Troubles()
        logging.getLogger("agentbridged").addHandler(self.troubles)
        said = self.troubles.said.append
        self.patches: list[Any] = [
            patch.object(connection, "complain", said),
            patch.object(shim, "complain", said),
            patch.object(connection, "daemon_is_alive", lambda _: bool(self.daemon)),
        ]
        for one in self.patches:
            one.start()
        self.said: list[Relayed] = []
        self.heard = 0
        """How much of it a daemon took in."""
        self.talks: list[Conversation] = []
        self.returned: list[Shown] = []
        """What tool calls returned."""
        self.discarded: set[str] = set()
        """What the person held back, and did not let in."""
        self.processes = Processes()
        self.daemon: Daemon | None = None
        self.server: Server | None = None
        self.hook: asyncio.Task[str] | None = None
        self.call: asyncio.Task[str] | None = None
        self.again = False
        """The turn goes on only since the hook had something to say."""

    def close(self) -> None:
        """Take it all away."""
        self.kill_server()
        self.kill_daemon()
        self.run(ended(*asyncio.all_tasks(self.loop)))
        self.loop.close()
        self.store.close()
        for one in self.patches:
            one.stop()
        logging.getLogger("agentbridged").removeHandler(self.troubles)
        self.directory.cleanup()

    # How it runs

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        return self.loop.create_task(work)

    def pass_time(self, seconds: float) -> None:
        """Let time pass; then Claude Code hears what its calls returned."""
        self.run(asyncio.sleep(seconds))
        for side in (self.daemon, self.server):
            if side and side.task.done():
                side.task.result()
        if self.call and self.call.done():
            self.hears_tool()
        if self.hook and self.hook.done():
            self.hears_hook()

    def settle(self) -> None:
        """Let be done what can be done at once."""
        self.pass_time(MOMENT)

    @property
    def lives(self) -> bool:
        """Whether there is a session."""
        return not self.claude.ended.is_set()

    @property
    def is_free(self) -> bool:
        """Whether a turn runs that waits for nothing of ours."""
        return self.lives and self.claude.is_running and not self.hook and not self.call

    @property
    def line(self) -> Line | None:
        """The connection, if there is one."""
        return self.daemon.line if self.daemon else None

    # Codex, and the daemon

    def says(self, route: Route, *, is_long: bool) -> None:
        """Codex says something; nobody may be there to hear it."""
        number = len(self.said)
        text = f"{number}:{'x' * LONG if is_long else 'done'}"
        self.said.append(Relayed(f"i{number}", f"t{number}", text, route))
        if self.daemon:
            self.daemon_hears()

    def daemon_hears(self, *, again: int = 0) -> None:
        """The daemon takes in what it has not heard, and the last few before it anew."""
        assert self.daemon
        for said in self.said[max(0, self.heard - again) :]:
            self.run(self.daemon.says(said))
        self.heard = len(self.said)

    def start_daemon(self) -> None:
        """Start one; it reads back what was said meanwhile."""

        async def start() -> Daemon:
            return Daemon(self.store, self.processes, self.start)

        self.daemon = self.run(start())
        self.daemon_hears(again=2)

    def switch(self, verb: Verb) -> None:
        """A person switches the bridge."""
        if self.daemon:
            self.run(self.daemon.switch(verb))

    def switch_back(self) -> bool:
        """A person lets it go on; says whether it stood still."""
        row = self.store.bridge(BRIDGE)
        assert row is not None
        if row.state != "active":
            self.switch(way_out(row.state))
        return row.state != "active"

    def kill_daemon(self, *, to_shim: int = 0) -> None:
        """Kill it; so much of what it said last still arrives."""
        if self.daemon:
            daemon, self.daemon = self.daemon, None
            for line in daemon.lines:
                if line.is_open:
                    line.cut(to_shim=to_shim)
            self.settle()
            self.run(ended(daemon.task))

    # Claude Code, and the shim

    def start_session(
        self, *, has_inbox: bool = True, channel: str = "", resumes: Conversation | None = None
    ) -> None:
        """Start a Claude Code, perhaps with a conversation that was broken off."""
        later = self.loop.call_later
        pid = 1001 + len(self.processes.all)
        self.claude = ClaudeCode(
            self.home, pid, later, resumes=resumes, has_inbox=has_inbox, channel=channel
        )
        self.processes.all[pid] = self.claude
        if resumes is None:
            self.talks.append(self.claude.talk)
        self.start_server()

    def start_server(self) -> None:
        """Claude Code starts ``agentbridge-mcp``, which takes longer than its transcript."""
        self.pass_time(LAG)
        self.claude.talk.was_hidden |= bool(self.claude.talk.unwritten)

        def dial() -> Any:
            return self.daemon.dialled() if self.daemon else refused()

        async def start() -> Server:
            return Server(self.claude, dial, self.start)

        self.claude.handed = []
        self.server = self.run(start())

    def kill_server(self, *, to_daemon: int = 0) -> None:
        """Kill the shim; so much of what it said last still arrives."""
        self.drop_calls()
        if self.server:
            if self.line:
                self.line.cut(to_daemon=to_daemon)
            task, self.server = self.server.task, None
            self.run(ended(task))

    def kill_session(self, *, noting: bool, to_daemon: int = 0) -> None:
        """Kill Claude Code, and so its server."""
        self.claude.dies(noting=noting)
        self.discard()
        self.claude.queue.clear()
        self.kill_server(to_daemon=to_daemon)

    def discard(self) -> None:
        """The person does not let in what was held back."""
        self.discarded |= {one.id for text in self.claude.held for one in told(text, "inbox")}
        self.claude.held.clear()

    def end_turn(self) -> None:
        """The turn ends: Claude Code asks the hook."""
        if not self.server:
            self.claude.ends_turn()
            return
        talk = self.claude.talk
        again = "true" if self.again else "false"
        ended = TurnEnded(
            session_id=talk.id, transcript_path=str(talk.file), stop_hook_active=again
        )
        self.hook = self.server.call(ended)

    def hears_hook(self) -> None:
        """The hook answered: with something to go on with, or with nothing."""
        assert self.hook
        answer, self.hook = self.hook.result(), None
        self.again = bool(answer)
        if not answer:
            self.claude.ends_turn()
            return
        text = json.loads(answer)["hookSpecificOutput"]["additionalContext"]
        self.claude.handed += told(text, "stop_hook")
        self.claude.hears_hook(text)

    def read(self, *, limit: int, waits: int = 0) -> None:
        """Claude calls one of the tools that give messages."""
        assert self.server
        if waits:
            self.call = self.server.call(WaitForMessage(timeout_s=waits))
        else:
            self.call = self.server.call(ReadMessages(limit=limit))

    def hears_tool(self) -> None:
        """The tool call returned."""
        assert self.call
        call, self.call = self.call, None
        try:
            text = call.result()
        except Refused:
            return
        self.returned += told(text, "read")
        self.claude.hears_tool(text)

    def drop_calls(self) -> None:
        """What the tool or the hook would say, nobody hears."""
        self.run(ended(*(call for call in (self.hook, self.call) if call)))
        self.hook = self.call = None
        self.again = False

    # What must hold

    def rows(self) -> list[MessageRow]:
        return self.store.history(BRIDGE, limit=1000)

    def holds(self) -> None:
        """Whatever happened."""
        assert self.troubles.said == []
        for claude in self.processes.all.values():
            assert claude.guarded == [], "it was given more than it takes"
        consumed = {row.id for row in self.rows() if row.state == "consumed"}
        assert consumed <= self.shown_whole(), "what is called consumed was before a model"
        self.comes_again_marked()
        self.goes_in_order()

    def comes_again_marked(self) -> None:
        """Which copy is shown first is Claude Code's affair: what waits in its queue comes late."""
        for talk in self.talks:
            plain = [(one.id, one.part) for one in talk.shown if not one.marked]
            assert len(plain) == len(set(plain)) or talk.was_hidden, f"twice, and no mark: {talk}"

    def goes_in_order(self) -> None:
        for way in ("inbox", "channel", "stop_hook"):
            new = [s.number for s in self.claude.handed if s.way == way and not s.marked]
            assert new == sorted(new), f"{way}: not in order"

    def comes_once(self) -> None:
        """Where nothing went wrong; but Claude may read what waits in its queue."""
        told = [(one.id, one.part) for talk in self.talks for one in talk.shown]
        read = {one.id for one in self.returned}
        again = {id for id, part in told if told.count((id, part)) > 1}
        assert again <= read, "twice, and nothing went wrong"

    def shown_whole(self) -> set[str]:
        """Return the ids of what was before a model, or was returned by a tool, to the end."""
        parts: dict[str, list[tuple[int, int]]] = {}
        shown = [one for talk in self.talks for one in (*talk.shown, *talk.lost)]
        for one in (*self.returned, *shown):
            parts.setdefault(one.id, []).append(one.part or (0, LONG + 10))
        return {id for id, ranges in parts.items() if _reach(ranges) > LONG}

    # The end

    def ends_well(self) -> None:
        """Nothing fails any more: then all is given by itself, and the rest when Claude reads."""
        self.faults_end()
        self.becomes_calm()
        self.holds()
        assert self.server
        left = {
            entry.message.id: entry.passage
            for entry in self.server.delivery.mailbox.unconfirmed()
            if entry.is_whole and entry.passage.handed.count("stop_hook") < HOOK_LIMIT
        }
        held = {id for id, passage in left.items() if passage.sign == "held"}
        assert left.keys() <= self.discarded | held, f"never given: {left}"
        self.reads_all()
        self.holds()
        assert len(self.rows()) == len(self.said)
        rows = [row for row in self.rows() if row.state != "history"]
        assert self.shown_whole() >= {row.id for row in rows}
        assert {row.state for row in rows} <= {"consumed"}

    def faults_end(self) -> None:
        if self.daemon is None:
            self.start_daemon()
        if self.line:
            self.line.flow()
        self.switch_back()
        if not self.lives:
            self.start_session()
        elif not self.server:
            self.start_server()
        self.claude.fate = "taken"
        self.claude.talk.is_late = False
        self.claude.talk.write()
        self.claude.lets_in()
        self.settle()

    def becomes_calm(self) -> None:
        """Turns come and go until they change nothing."""
        same = 0
        for _ in range(ROUNDS):
            before = self.picture()
            self.pass_time(40)
            if not self.claude.is_running:
                self.claude.types()
            while self.claude.is_running:
                if self.is_free:
                    self.end_turn()
                self.pass_time(10)
            same = same + 1 if self.picture() == before else 0
            if same == PATIENCE:
                return
        raise AssertionError("it never becomes calm")

    def picture(self) -> list[Any]:
        return [[row.state for row in self.rows()], [len(talk.shown) for talk in self.talks]]

    def reads_all(self) -> None:
        self.claude.types()
        for _ in range(3):
            self.read(limit=1000)
            self.pass_time(20)


def _reach(ranges: list[tuple[int, int]]) -> int:
    """Return up to where these are without a gap."""
    reach = 0
    for start, end in sorted(ranges):
        if start <= reach:
            reach = max(reach, end)
    return reach
