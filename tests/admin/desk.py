"""A small desk over a real store: what the daemon is to its admin door, without its other doors."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from agentbridged.admin.server import AdminServer
from agentbridged.admin.verbs import Desk, Listener
from agentbridged.bridges.approvals import Approvals
from agentbridged.errors import Refused, UnknownBridge
from agentbridged.paths import bridge_id, project_root
from agentbridged.store import ApprovalRow, BridgeState, Store
from agentbridged.wire import admin, claude


class SmallDesk:
    """Fulfils :class:`Desk`; faults are attributes."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.listeners: list[Listener] = []
        self.stopped = asyncio.Event()
        self.subscribed = asyncio.Event()
        self.held = False
        self.agents: list[int] = []
        self.approvals = Approvals(store, lambda row, new: None)
        self.fault: Exception | None = None
        """Raised by the next ``status``."""
        self.managed = True
        """Whether the app-server is ours."""
        self.stuck: asyncio.Event | None = None
        """``config.reload`` waits for it."""

    def status(self) -> dict[str, Any]:
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault
        return {
            "version": "0",
            "pid": os.getpid(),
            "state": "running",
            "uptime_s": 3.0,
            "app_server": {
                **{"state": "RUNNING", "pid": 1, "generation": 1, "restarts": 0},
                **{"version": "0.169.0", "managed": self.managed},
            },
            "proxy": {"state": "RUNNING", "pid": 2, "generation": 1, "restarts": 0, "tuis": 0},
            "bridges": [self._bridge(row.id) for row in self.store.bridges()],
        }

    def _bridge(self, id: str) -> dict[str, Any]:
        row, counts = self.store.bridge(id), self.store.counts(id)
        assert row is not None
        return {
            **{"id": row.id, "root": row.root, "state": row.state, "claude": None, "codex": None},
            **{"to_codex": counts.to_codex, "to_claude": counts.to_claude},
            "oldest_undelivered_s": None if counts.oldest_undelivered is None else 1.0,
        }

    def find_bridge(self, *, bridge: str | None, project_dir: str | None) -> str:
        if bridge is not None:
            row = self.store.bridge(bridge) or self.store.bridge_at(bridge)
        else:
            assert project_dir is not None
            row = self.store.bridge(bridge_id(project_root(Path(project_dir))))
        if row is None:
            raise UnknownBridge(bridge or project_dir or "")
        return row.id

    def ensure_bridge(self, project_dir: str) -> str:
        root = project_root(Path(project_dir))
        return self.store.ensure_bridge(bridge_id(root), str(root)).id

    def _switch(self, ids: list[str], state: BridgeState, by: str, reason: str) -> None:
        for id in ids:
            self.store.set_bridge_state(id, state, by=by, reason=reason)
            self.tell("bridge", {"bridge": id, "state": state, "by": by})

    def kill(self, ids: list[str], by: str, reason: str) -> None:
        self._switch(ids, "killed", by, reason)

    def revive(self, ids: list[str], by: str, reason: str) -> None:
        self._switch(ids, "active", by, reason)

    def pause(self, ids: list[str], by: str, reason: str) -> None:
        self._switch(ids, "paused", by, reason)

    def resume(self, ids: list[str], by: str, reason: str) -> None:
        self._switch(ids, "active", by, reason)

    async def send(self, bridge: str, send: claude.Send, sender: str, to: admin.To) -> claude.Sent:
        row = self.store.bridge(bridge)
        assert row is not None
        if row.state != "active":
            raise Refused(
                f"bridge {bridge} is {row.state}; `agentbridgectl revive`", kind=row.state
            )
        message, created = self.store.add(
            bridge=bridge,
            direction="to_codex" if to == "codex" else "to_claude",
            sender="person",
            text=send.text,
            idempotency_key=send.idempotency_key,
            when_busy=send.when_busy,
            start_thread=send.start_thread,
        )
        self.tell("message", {"bridge": bridge, "id": message.id, "state": message.state})
        return claude.Sent(id=message.id, state=message.state, duplicate=not created, note="waits")

    def release_seat(self, bridge: str, by: str) -> bool:
        held, self.held = self.held, False
        return held

    def agent_pids(self) -> list[int]:
        return self.agents

    def answer_approval(self, id: str, *, allow: bool, by: str) -> ApprovalRow:
        return self.approvals.answer(id, allow=allow, by=by)

    async def reload(self) -> dict[str, Any]:
        if self.stuck is not None:
            await self.stuck.wait()
        return {"changed": []}

    def shutdown(self) -> None:
        self.stopped.set()

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        self.listeners.append(listener)
        self.subscribed.set()
        return lambda: self.listeners.remove(listener)

    def tell(self, kind: str, facts: dict[str, Any]) -> None:
        for listener in list(self.listeners):
            listener(kind, facts)


def _fulfils(desk: SmallDesk) -> Desk:
    return desk


@asynccontextmanager
async def served(directory: Path) -> AsyncIterator[SmallDesk]:
    """Serve a small desk on ``admin.sock`` in *directory*."""
    store = Store(directory / "agentbridge.db")
    desk = SmallDesk(store)
    server = AdminServer(directory / "admin.sock", desk)
    try:
        await server.start()
        yield desk
    finally:
        await server.close()
        store.close()
