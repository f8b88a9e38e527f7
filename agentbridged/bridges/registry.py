"""
All bridges of this user, by id, by root, and by any directory inside a project.

Fulfils what the Claude door asks (:class:`claude.server.Seats`) and most of what the admin door
asks; the daemon adds the rest.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from agentbridged.bridges import words
from agentbridged.bridges.bridge import Bridge
from agentbridged.codex.side import CodexSide
from agentbridged.config import Config, Settings
from agentbridged.errors import Refused, UnknownBridge
from agentbridged.machines.switch import Verb
from agentbridged.paths import bridge_id, project_root
from agentbridged.store import Store
from agentbridged.wire import claude
from agentbridged.wire.admin import To

log = logging.getLogger(__name__)

Listener = Callable[[str, dict[str, Any]], None]


class Bridges:
    """The registry: what is in the store is here, and what is made is in the store first."""

    def __init__(
        self,
        store: Store,
        config: Callable[[], Config],
        *,
        opened: Callable[[Bridge], None],
        resumed: Callable[[str], None],
    ) -> None:
        self.store = store
        self._resumed = resumed
        self._config = config
        self._opened = opened
        self._bridges: dict[str, Bridge] = {}
        self._listeners: list[Listener] = []
        self._given_up = ""

    def load(self) -> None:
        """Open the bridges that the store knows, but for those of Codex threads alone."""
        for row in self.store.bridges():
            if row.id in self._bridges:
                continue
            if row.attached or row.state != "active" or self.store.history(row.id, limit=1):
                self._open(row.id)

    def codex_given_up(self, why: str) -> None:
        """Our app-server is FATAL, in words for people; "" when it is not, or no more."""
        self._given_up = why
        for bridge in self:
            bridge.codex_given_up(why)

    def mended(self) -> None:
        """The store can keep again, or is another one: take up what is in it."""
        for bridge in list(self):
            bridge.mended()
        self.load()

    def _open(self, id: str) -> Bridge:
        row = self.store.bridge(id)
        assert row is not None, f"bridge {id} is in the store"
        settings = functools.partial(self._settings, row.root)
        bridge = Bridge(row, self.store, settings, self.tell, self._resumed)
        self._bridges[id] = bridge
        bridge.codex_given_up(self._given_up)
        self._opened(bridge)
        return bridge

    def _settings(self, root: str) -> Settings:
        return self._config().of(root)

    def __iter__(self) -> Iterator[Bridge]:
        return iter(self._bridges.values())

    def __getitem__(self, id: str) -> Bridge:
        return self._bridges[id]

    def sides(self) -> Iterable[CodexSide]:
        """Return every bridge's Codex side."""
        return [bridge.codex for bridge in self._bridges.values()]

    def side_at(self, directory: Path) -> CodexSide:
        """Return the Codex side of the project that holds *directory*."""
        return self.at(directory).codex

    def at(self, directory: Path) -> Bridge:
        """Return the bridge of the project that holds *directory*, made if it is new."""
        root = project_root(directory)
        id = bridge_id(root)
        if id in self._bridges:
            return self._bridges[id]
        self.store.ensure_bridge(id, str(root))
        log.info("new bridge %s for %s", id, root)
        return self._open(id)

    # The Claude door

    def bridge_for(self, project_dir: str) -> Bridge:
        """Return the bridge of a session's project; raises :exc:`Refused` naming the field."""
        return self.at(_directory(project_dir))

    # The admin door

    def find_bridge(self, *, bridge: str | None, project_dir: str | None) -> str:
        """Return a bridge's id by id, root or a directory in it; raises :exc:`UnknownBridge`."""
        name = bridge or project_dir or ""
        if bridge is not None and bridge in self._bridges:
            return bridge
        if name.startswith("/"):
            id = bridge_id(project_root(Path(name)))
            if id in self._bridges:
                return id
        raise UnknownBridge(name)

    def ensure_bridge(self, project_dir: str) -> str:
        """Return the id of a project's bridge, made if it is new."""
        return self.bridge_for(project_dir).id

    def change(self, ids: list[str], verb: Verb, *, by: str, reason: str) -> list[str]:
        """
        Do this to bridges, and return those that changed.

        Raises :exc:`Refused` when one of them is in a state that does not admit it; then none is.
        """
        bridges = [self._known(id) for id in ids]
        for bridge in bridges:
            bridge.admits(verb)
        return [b.id for b in bridges if b.switch(verb, by=by, reason=reason)]

    def _known(self, id: str) -> Bridge:
        if id in self._bridges:
            return self._bridges[id]
        if self.store.bridge(id) is None:
            raise UnknownBridge(id)
        return self._open(id)

    def of_side(self, side: CodexSide) -> Bridge:
        """Return the bridge that a Codex side is of."""
        return next(bridge for bridge in self._bridges.values() if bridge.codex is side)

    async def send(self, bridge: str, send: claude.Send, sender: str, to: To) -> claude.Sent:
        """Take a person's message; it is on disk when this returns."""
        if to == "claude":
            return self._bridges[bridge].accept_for_claude(send)
        return self._bridges[bridge].accept(send, sender="person")

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Tell *listener* the kind and facts of all news; returns how to end it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def tell(self, kind: str, facts: dict[str, Any]) -> None:
        """News for whoever listens."""
        for listener in list(self._listeners):
            listener(kind, {"at": words.now(), **facts})


def _directory(project_dir: str) -> Path:
    path = Path(project_dir)
    if "\0" in project_dir or not path.is_absolute():
        raise Refused(f"project_dir: {project_dir!r} is not an absolute path", kind="bad_directory")
    if not path.is_dir():
        raise Refused(f"project_dir: {project_dir!r} is no directory", kind="bad_directory")
    return path
