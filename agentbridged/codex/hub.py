"""
Which thread belongs to which project: the app-server's news, given to the bridges' Codex sides.

The app-server tells every client of every thread it opens, with its directory; a thread's project
is the project root of that directory. A TUI behind the proxy is known by its connection's number
and the thread that it shows. Threads that no person sees are passed over.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar, assert_never

from agentbridged.codex import thread as threads
from agentbridged.codex.client import AppServerClient
from agentbridged.codex.side import CodexSide
from agentbridged.errors import CodexError, ProtocolError, Unavailable
from agentbridged.wire import codex, link

log = logging.getLogger(__name__)

T = TypeVar("T")

AGAIN = 1.0
"""Seconds before an overloaded app-server is asked again."""
TIMES = 30
"""Times that it is, for a thread that it holds, before the others are taken for all."""
RETURNING = 60.0
"""Seconds from a connection in which TUIs come back to an app-server that was gone."""
PARTED = 100
"""Terminals that are known again by what they showed, the latest."""


class Hub:
    """The app-server's threads, and the bridges they belong to."""

    def __init__(
        self,
        side_at: Callable[[Path], CodexSide],
        sides: Callable[[], Iterable[CodexSide]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._side_at = side_at
        self._sides = sides
        self._clock = clock
        self.asked_of: Callable[[CodexSide, codex.ServerRequest], object] = lambda *_: None
        """Called for each question of a known thread."""
        self.resolved: Callable[[codex.RequestResolved], object] = lambda _: None
        """Called when a question has its answer."""
        self.item_completed: Callable[[codex.ItemCompleted], object] = lambda _: None
        """Called for each item that is done, on whatever thread."""
        self._client: AppServerClient | None = None
        self._connected_at = -RETURNING
        self._side_of: dict[str, CodexSide | None] = {}
        """The side of each known thread; ``None`` for hidden ones."""
        self._tuis: dict[int, int] = {}
        """The process of each TUI behind the proxy; 0 when unknown."""
        self._shown: dict[int, str] = {}
        """The thread that each TUI behind the proxy shows, the latest switch last."""
        self._switches: dict[int, int] = {}
        """Which switch that was, counted."""
        self._count = 0
        self._parted: dict[int, tuple[str, int]] = {}
        """What each process whose connection ended showed, and which switch that was."""
        self._lasting: set[str] = set()
        """Threads that a TUI behind the proxy finds again when its connection breaks."""
        self._unknown: asyncio.Queue[str | None] = asyncio.Queue()
        """Threads to be read; ``None``: read the list of those that are loaded."""

    @property
    def tuis(self) -> int:
        """How many TUIs are connected to the proxy."""
        return len(self._tuis)

    # The app-server

    def connected(self, client: AppServerClient) -> None:
        """The app-server is there: hear it, and learn what it has loaded."""
        self._client = client
        self._connected_at = self._clock()
        client.heard = self._while_connected(client, self.heard)
        client.asked = self._while_connected(client, self.asked)
        self._unknown.put_nowait(None)
        for side in self._sides():
            side.connected(client)

    def gone(self) -> None:
        """The app-server's connection ended; a later one is learned from afresh."""
        if self._client is None:
            return
        self._client = None
        self._side_of.clear()
        self._lasting.clear()
        for side in self._sides():
            side.gone()

    def _while_connected(
        self, client: AppServerClient, take: Callable[[T], object]
    ) -> Callable[[T], None]:
        """Take what this connection brings only until the next one is there."""

        def fenced(news: T) -> None:
            if client is self._client:
                take(news)

        return fenced

    def joined(self, side: CodexSide) -> None:
        """A new bridge: it is told what there is."""
        if self._client is not None:
            side.connected(self._client)

    def heard(self, event: codex.Event) -> None:
        """The app-server said something."""
        if isinstance(event, codex.ThreadStarted):
            self._learn(event.thread)
            return
        if isinstance(event, codex.RequestResolved):
            self.resolved(event)
            return
        if isinstance(event, codex.ItemCompleted):
            self.item_completed(event)
        thread_id = event.threadId
        over = isinstance(event, codex.ThreadClosed | codex.ThreadGone)
        if thread_id not in self._side_of and not over:
            self._unknown.put_nowait(thread_id)
        side = self._side(thread_id)
        if over:
            self._side_of.pop(thread_id, None)
        if side is not None:
            side.heard(event)

    def _side(self, thread_id: str) -> CodexSide | None:
        """Return whose thread it is; one that a side has resumed may not be learned of yet."""
        if thread_id in self._side_of:
            return self._side_of[thread_id]
        return next((side for side in self._sides() if side.follows(thread_id)), None)

    def asked(self, request: codex.ServerRequest) -> None:
        """The app-server asks a person; the TUI shows it, and we never answer by ourselves."""
        log.info("Codex asks a person: %s on thread %s", request.method, request.thread_id)
        side = self._side(request.thread_id)
        if side is not None:
            self.asked_of(side, request)

    def _learn(self, thread: codex.Thread) -> None:
        known = self._side_of.get(thread.id)
        side = self._place(thread)
        if side is not None and side is not known:
            if self._is_open(side, thread):
                self._open(side, thread.id)
            self._show_again([thread.id])  # the proxy may have told first that a TUI shows it
        if thread.status.type == "notLoaded":
            self._side_of.pop(thread.id, None)  # a plain TUI that resumes it tells but its status

    def _open(self, side: CodexSide, thread_id: str) -> None:
        if self._clock() - self._connected_at < RETURNING:
            side.binding.reopened(thread_id)
        else:
            side.binding.opened(thread_id)
        side.wake()

    def _place(self, thread: codex.Thread) -> CodexSide | None:
        visible = bool(thread.cwd) and not thread.hidden
        side = self._side_at(Path(thread.cwd)) if visible else None
        self._side_of[thread.id] = side
        return side

    @staticmethod
    def _is_open(side: CodexSide, thread: codex.Thread) -> bool:
        """Whether a person has it open; not if we resumed it ourselves, for what it owes us."""
        return thread.status.type != "notLoaded" and not side.hears_out(thread.id)

    # The proxy

    def proxy_said(self, message: link.FromProxy) -> None:
        """The proxy told something of its TUIs."""
        match message:
            case link.TuiShows(tui, thread_id):
                self._switched(tui, thread_id)
                self._unknown.put_nowait(thread_id)
                self._show(tui, thread_id)
            case link.TuiCame(tui, pid):
                self._tuis[tui] = pid
            case link.TuiLeft(tui):
                self._part(tui)
            case link.Hello():
                self.proxy_gone()
            case unreachable:
                assert_never(unreachable)

    def proxy_gone(self) -> None:
        """The proxy's TUIs are gone with it, or will be told anew."""
        for tui in list(self._shown):
            self._part(tui)
        self._tuis.clear()

    def _switched(self, tui: int, thread_id: str) -> None:
        """Note what a TUI shows; one whose connection ended and that comes back did not switch."""
        showed, switch = self._parted.pop(self._tuis.get(tui, 0), ("", 0))
        if tui in self._shown or showed != thread_id:
            self._count += 1
            switch = self._count
        self._switches[tui] = switch
        shown = self._shown | {tui: thread_id}
        self._shown = {tui: shown[tui] for tui in sorted(shown, key=self._switches.__getitem__)}

    def _part(self, tui: int) -> None:
        """A TUI's connection ended."""
        pid, showed = self._tuis.pop(tui, 0), self._shown.pop(tui, None)
        switch = self._switches.pop(tui, 0)
        if pid and showed is not None:
            self._parted.pop(pid, None)
            self._parted[pid] = showed, switch
        for earliest in list(self._parted)[:-PARTED]:
            del self._parted[earliest]
        self._leave(tui, but=None)

    def _show(self, tui: int, thread_id: str) -> None:
        side = self._side_of.get(thread_id)
        self._leave(tui, but=side)
        if side is not None:
            order = list(self._shown)
            side.binding.shows(tui, thread_id, below=order[order.index(tui) + 1 :])
            side.wake()

    def _leave(self, tui: int, *, but: CodexSide | None) -> None:
        for side in self._sides():
            if side is not but:
                side.binding.left(tui)
                side.wake()

    # Learning

    async def run(self) -> None:
        """Read the threads that were heard of and are not known, for ever, one at a time."""
        while True:
            thread_id = await self._unknown.get()
            client = self._client
            if client is None:
                continue
            try:
                await self._read(client, thread_id)
            except (CodexError, ProtocolError, Unavailable) as error:
                log.info("thread %s cannot be read: %s", thread_id, error)
                if _overloaded(error):
                    await asyncio.sleep(AGAIN)
                    self._unknown.put_nowait(thread_id)

    async def _read(self, client: AppServerClient, thread_id: str | None) -> None:
        if thread_id is None:
            await self._take_stock(client)
            return
        if thread_id not in self._side_of:
            self._learn(await threads.read(client, thread_id))
        await self._make_last(client, thread_id)

    async def _take_stock(self, client: AppServerClient) -> None:
        """Learn what is loaded, all of it at once: no bridge tries one thread after the other."""
        found = await self._read_loaded(client)
        if client is not self._client:
            return
        loaded = [thread for thread in found if thread.status.type != "notLoaded"]
        unknown = [thread for thread in loaded if thread.id not in self._side_of]
        opened: dict[CodexSide, dict[str, float]] = {}
        for thread in unknown:
            side = self._place(thread)
            if side is not None and self._is_open(side, thread):
                # An older thread that was bound was so for its turns since.
                heard_at = codex.time_of(side.owner.cursor(thread.id) or "")
                opened.setdefault(side, {})[thread.id] = max(thread.createdAt, heard_at)
        for side, times in opened.items():
            side.binding.found(sorted(times, key=times.__getitem__))
            side.wake()
        self._show_again(thread.id for thread in unknown)

    async def _read_loaded(self, client: AppServerClient) -> list[codex.Thread]:
        """Read each thread that is loaded; again while the app-server is overloaded."""
        found: list[codex.Thread] = []
        unread = await threads.loaded(client)
        for again in range(TIMES):
            if again:
                await asyncio.sleep(AGAIN)
                loaded = await threads.loaded(client)
                found = [thread for thread in found if thread.id in loaded]
            wanted, unread = unread, []
            for thread_id in wanted:
                try:
                    found.append(await threads.read(client, thread_id))
                except (CodexError, ProtocolError) as error:
                    if _overloaded(error):
                        unread.append(thread_id)  # any other was put away meanwhile
            if not unread or client is not self._client:
                return found
        log.warning("of the threads that are loaded, %d cannot be read now", len(unread))
        self._unknown.put_nowait(None)
        return found

    async def _make_last(self, client: AppServerClient, thread_id: str) -> None:
        """See to it that a thread shown through the proxy outlives the proxy, before any turn."""
        shown = thread_id in self._shown.values() and thread_id not in self._lasting
        side = self._side_of.get(thread_id)
        if shown and side is not None and not side.follows(thread_id):
            await threads.materialise(client, thread_id)
            self._lasting.add(thread_id)

    def _show_again(self, learned: Iterable[str]) -> None:
        """Threads are known now: who shows them shows them on their bridge."""
        thread_ids = set(learned)
        for tui, thread_id in self._shown.items():
            if thread_id in thread_ids:
                self._show(tui, thread_id)


def _overloaded(error: Exception) -> bool:
    return isinstance(error, CodexError) and error.code == codex.OVERLOADED
