"""
Which Codex thread a bridge is bound to.

In this order: the thread that a TUI behind the proxy shows, by the latest switch; else the newest
thread that a client opened in the project; else the bridge's last one. Who only comes back, as the
proxy or the app-server was gone, did not switch: ranks are then as they were. Pure: the caller says
what happened and compares :attr:`Binding.thread` before and after.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable


class Binding:
    """The candidates of one bridge, and the choice among them."""

    def __init__(self, last: str | None = None) -> None:
        self._shown: dict[int, str] = {}
        self._opened: dict[str, None] = {}
        self._former: list[str] = []
        """What was open when the app-server was lost, in its order, until all of it is again."""
        self._last = last

    @property
    def thread(self) -> str | None:
        """The thread that should be bound now."""
        for candidates in (list(self._shown.values()), list(self._opened)):
            if candidates:
                return candidates[-1]
        return self._last

    @property
    def live(self) -> bool:
        """Whether some client has the thread open."""
        return bool(self._shown or self._opened)

    @property
    def shown_by_tui(self) -> bool:
        """Whether a TUI behind the proxy shows the bound thread."""
        return bool(self._shown)

    def shows(self, tui: int, thread_id: str, *, below: Collection[int] = ()) -> None:
        """A TUI behind the proxy switched to a thread of this project, *below* others since."""
        self._shown.pop(tui, None)
        since = {tui: shown for tui, shown in self._shown.items() if tui in below}
        earlier = {tui: shown for tui, shown in self._shown.items() if tui not in below}
        self._shown = earlier | {tui: thread_id} | since
        self._keep()

    def left(self, tui: int) -> None:
        """A TUI went away, or shows a thread of another project; its thread stays bound."""
        self._keep()
        self._shown.pop(tui, None)
        if self._last in self._opened:
            self._opened[self._last] = self._opened.pop(self._last)

    def opened(self, thread_id: str) -> None:
        """A client started or loaded a thread of this project."""
        self._former.clear()
        self._open(thread_id)

    def reopened(self, thread_id: str) -> None:
        """A client opened a thread, or only came back to it after the app-server was lost."""
        if thread_id in self._former:
            self._opened.pop(thread_id, None)
            self._rank([thread_id, *self._opened])
        else:
            self._open(thread_id)

    def found(self, thread_ids: Iterable[str]) -> None:
        """Threads were open before we came, oldest first: what was opened since outranks them."""
        found = [thread_id for thread_id in thread_ids if thread_id not in self._opened]
        self._rank([*found, *self._opened])

    def closed(self, thread_id: str) -> None:
        """The app-server unloaded a thread; it stays the last one if it was bound."""
        self._keep()
        self._drop(thread_id)

    def lost(self) -> None:
        """The app-server is gone: nothing is open, and the last thread waits to be resumed."""
        self._keep()
        if self._last in self._opened and self._last not in self._former:
            self._opened[self._last] = self._opened.pop(self._last)
        self._former = list(dict.fromkeys([*self._former, *self._opened]))
        self._opened.clear()

    def forget(self, thread_id: str) -> None:
        """A thread turned out not to exist any more."""
        self._drop(thread_id)
        self._shown = {tui: shown for tui, shown in self._shown.items() if shown != thread_id}
        if self._last == thread_id:
            self._last = None

    def _open(self, thread_id: str) -> None:
        self._opened.pop(thread_id, None)
        self._opened[thread_id] = None
        self._keep()

    def _rank(self, thread_ids: list[str]) -> None:
        """These are open: those that were before are in their former order among themselves."""
        former = iter([thread_id for thread_id in self._former if thread_id in thread_ids])
        self._opened = dict.fromkeys(
            next(former) if thread_id in self._former else thread_id for thread_id in thread_ids
        )
        if all(thread_id in self._opened for thread_id in self._former):
            self._former.clear()
        self._keep()

    def _drop(self, thread_id: str) -> None:
        self._opened.pop(thread_id, None)
        if thread_id in self._former:
            self._former.remove(thread_id)

    def _keep(self) -> None:
        self._last = self.thread
