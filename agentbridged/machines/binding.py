"""
Which Codex thread a bridge is bound to.

In this order: the thread that a TUI behind the proxy shows, by the latest switch; else the newest
thread that a client opened in the project; else the bridge's last one. Pure: the caller says what
happened and compares :attr:`Binding.thread` before and after.
"""

from __future__ import annotations

from collections.abc import Iterable


class Binding:
    """The candidates of one bridge, and the choice among them."""

    def __init__(self, last: str | None = None) -> None:
        self._shown: dict[int, str] = {}
        self._opened: dict[str, None] = {}
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

    def shows(self, tui: int, thread_id: str) -> None:
        """A TUI behind the proxy switched to a thread of this project."""
        self._shown.pop(tui, None)
        self._shown[tui] = thread_id
        self._keep()

    def left(self, tui: int) -> None:
        """A TUI went away, or shows a thread of another project; its thread stays bound."""
        self._keep()
        self._shown.pop(tui, None)
        if self._last in self._opened:
            self._opened[self._last] = self._opened.pop(self._last)

    def opened(self, thread_id: str) -> None:
        """A client started or loaded a thread of this project."""
        self._opened.pop(thread_id, None)
        self._opened[thread_id] = None
        self._keep()

    def found(self, thread_ids: Iterable[str]) -> None:
        """Threads were open before we came, oldest first: what was opened since outranks them."""
        found = dict.fromkeys(id for id in thread_ids if id not in self._opened)
        self._opened = found | self._opened
        self._keep()

    def closed(self, thread_id: str) -> None:
        """The app-server unloaded a thread; it stays the last one if it was bound."""
        self._keep()
        self._opened.pop(thread_id, None)

    def lost(self) -> None:
        """The app-server is gone: nothing is open, and the last thread waits to be resumed."""
        self._keep()
        self._opened.clear()

    def forget(self, thread_id: str) -> None:
        """A thread turned out not to exist any more."""
        self._opened.pop(thread_id, None)
        self._shown = {tui: shown for tui, shown in self._shown.items() if shown != thread_id}
        if self._last == thread_id:
            self._last = None

    def _keep(self) -> None:
        self._last = self.thread
