"""
The daemon: opens the doors, says READY, waits for the end, closes them in reverse.

Everything runs on one event loop in one task group. The two children, proxy and app-server, are
ended by an orderly stop and by nothing else: when the daemon is killed they live on, and the next
daemon adopts them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agentbridged import __version__, activation, config
from agentbridged.admin.server import AdminServer
from agentbridged.bridges import words
from agentbridged.bridges.approvals import Approvals, lives, outcome
from agentbridged.bridges.bridge import Bridge
from agentbridged.bridges.desktop import Desktop, program
from agentbridged.bridges.forgetting import Forgetting
from agentbridged.bridges.mending import Mending
from agentbridged.bridges.registry import Bridges, Listener
from agentbridged.children import liveness, logs
from agentbridged.children.supervisor import ChildStatus, Supervisor
from agentbridged.claude.server import ClaudeDoor
from agentbridged.codex.client import AppServerClient
from agentbridged.codex.hub import Hub
from agentbridged.codex.server import AppServer
from agentbridged.codex.side import CodexSide
from agentbridged.descriptors import RESERVE, Complaints
from agentbridged.errors import AgentBridgeError, ConfigError
from agentbridged.installed import Edition
from agentbridged.launches import APP_SERVER, PROXY, Launches
from agentbridged.notify import ServiceManager
from agentbridged.parts import Parts
from agentbridged.paths import Paths
from agentbridged.proxy.link import ProxyLink
from agentbridged.store import ApprovalRow, Store
from agentbridged.wire import claude, codex, link
from agentbridged.wire.admin import To

log = logging.getLogger(__name__)

OPEN_PATIENCE = 10.0
"""Seconds for the doors to open; past that the start has failed."""
STOP_PATIENCE = 4.0
"""Seconds that an orderly stop of the children may take in all."""


def _the_persons(fault: Exception) -> Exception:
    """Return the one error for a person that a group holds, else the group as it is."""
    only = fault
    while isinstance(only, ExceptionGroup) and len(only.exceptions) == 1:
        only = only.exceptions[0]
    return only if isinstance(only, AgentBridgeError) else fault


class Daemon:
    """One user's agentbridge; fulfils :class:`agentbridged.admin.verbs.Desk`."""

    def __init__(self, paths: Paths, environment: Mapping[str, str] = os.environ) -> None:
        self.paths = paths
        self.config = config.load(paths.config_file)
        self.store = Store(paths.database)
        self.approvals = Approvals(self.store, self._approval_changed, lives)
        self.bridges = Bridges(
            self.store,
            lambda: self.config,
            opened=self._opened,
            resumed=self.approvals.caught_up,
        )
        self._mending = Mending(self.store, self.bridges)
        self._desktop = Desktop(self.bridges, lambda: self.config, program(environment))
        self._forgetting = Forgetting(self.store, lambda: self.config.history.keep_days)
        self.hub = Hub(self.bridges.side_at, self.bridges.sides)
        self.hub.asked_of = self._asked
        self.hub.resolved = self.approvals.resolved
        self.hub.item_completed = self.approvals.item_completed
        self._manager = ServiceManager(environment)
        self._edition = Edition()
        self.is_handing_over = False
        """Whether the end is a beginning: the children are left to the next daemon."""
        self._launches = Launches(paths, environment, lambda: self.config)
        self._started = time.monotonic()
        self._ending = asyncio.Event()
        self._parts: Parts | None = None
        self._state = "starting"
        self._door = ClaudeDoor(paths.claude_socket, self.bridges, liveness)
        given = activation.inherited(environment, {"admin": str(paths.admin_socket)})
        self._admin = AdminServer(paths.admin_socket, self, given.get("admin"))
        self._link = ProxyLink(paths.proxy_socket, self.hub.proxy_said, lost=self.hub.proxy_gone)
        self._proxy = Supervisor(
            "proxy",
            launch=self._launches.proxy,
            ready=self._launches.proxy_ready,
            record=paths.child_record("proxy"),
            policy=PROXY,
            changed=self._proxy_changed,
        )
        self._app_server_child = Supervisor(
            "app-server",
            launch=self._launches.app_server,
            ready=self._launches.app_server_ready,
            record=paths.child_record("app-server"),
            policy=APP_SERVER,
            changed=self._app_server_changed,
            stop_signals=(signal.SIGTERM, signal.SIGTERM),
        )
        self._app_server = AppServer(
            self._launches.app_server_sockets,
            self._app_server_child,
            name=self._launches.name_of,
            connected=self._codex_connected,
            gone=self._codex_gone,
        )

    # Life

    async def run(self) -> None:
        """Serve until told to stop; returns when everything is closed."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.shutdown)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        complaints = Complaints()
        loop.set_exception_handler(complaints.hear)
        RESERVE.fill()
        try:
            async with asyncio.TaskGroup() as group:
                self._parts = Parts(group, self._ending)
                await self._open(self._parts)
                await self._ending.wait()
                await self._close()
                raise asyncio.CancelledError  # ends the group's tasks, and the group with them
        except asyncio.CancelledError:
            if not self._ending.is_set():
                raise
        except ExceptionGroup as faults:
            raise _the_persons(faults) from None
        finally:
            self.store.close()
            self._manager.close()
            complaints.end()
            RESERVE.release()
            log.info("stopped")

    async def _open(self, parts: Parts) -> None:
        self.bridges.load()
        await self._admin.start()
        parts.keep("claude.sock", self._door.run)
        async with asyncio.timeout(OPEN_PATIENCE):
            await self._door.opened.wait()
        # From here on the start does not fail: a child of one that did would be nobody's.
        parts.keep("the proxy", self._proxy.run)
        parts.keep("our app-server", self._app_server_child.run)
        parts.keep("the proxy's link", self._link.run)
        parts.keep("the app-server", self._follow_app_server)
        parts.keep("the threads", self.hub.run)
        parts.keep("the answers", self.approvals.run)
        parts.keep("the store", self._mending.run)
        parts.keep("the desktop", self._desktop.run)
        parts.keep("the watchdog", self._feed)
        parts.keep("the history", self._forgetting.run)
        parts.keep("the logs", lambda: logs.keep_small(self.paths.child_logs))
        self._proxy.start()
        self._app_server_child.adopt()
        parts.starting = False
        self._state = "running"
        log.info("agentbridged %s is ready, pid %d", __version__, os.getpid())
        self._manager.ready(self._status_line())

    async def _close(self) -> None:
        self._state = "stopping"
        self._manager.stopping("handing over" if self.is_handing_over else "stopping")
        log.info("handing over to what is installed now" if self.is_handing_over else "stopping")
        await self._admin.close()
        if self.is_handing_over:
            return  # the next daemon adopts the children; nobody's session notices
        try:
            async with asyncio.timeout(STOP_PATIENCE):
                await self._proxy.stop()
                await self._app_server_child.stop()
        except TimeoutError:
            log.warning("the children did not end in %s s", STOP_PATIENCE)

    async def _feed(self) -> None:
        """Tell the service manager that the event loop makes progress."""
        period = self._manager.watchdog_s
        assert self._parts is not None
        while period is not None and not self._ending.is_set():
            self._manager.watchdog()
            await self._parts.pause(period)

    def shutdown(self) -> None:
        """Begin to stop; returns at once."""
        self._ending.set()

    # Parts that tell each other

    def _opened(self, bridge: Bridge) -> None:
        assert self._parts is not None
        self._parts.keep(bridge.id, bridge.codex.run)
        self.hub.joined(bridge.codex)

    async def _follow_app_server(self) -> None:
        await self._launches.prepare()
        await self._app_server.run()

    def _codex_connected(self, client: AppServerClient, path: Path) -> None:
        self.approvals.connected(client, self._app_server.identity)
        self.hub.connected(client)
        self._link.tell(link.Upstream(str(path), self._app_server.status()["generation"]))
        self._manager.status(self._status_line())

    def _codex_gone(self) -> None:
        self.hub.gone()
        self.approvals.gone()
        self._link.tell(link.Upstream("", self._app_server.status()["generation"]))
        self._manager.status(self._status_line())

    def _asked(self, side: CodexSide, request: codex.ServerRequest) -> None:
        self.approvals.asked(self.bridges.of_side(side).id, request)

    def _approval_changed(self, row: ApprovalRow, new: bool) -> None:
        self.bridges.tell("approval", outcome(row))
        if new:
            self.bridges[row.bridge].notice("approval", words.asks(row))

    def _child_changed(self, name: str, status: ChildStatus) -> None:
        facts = {"name": name, "state": status.state, "pid": status.pid}
        self.bridges.tell("child", facts | {"generation": status.generation})
        self._manager.status(self._status_line())

    def _proxy_changed(self, status: ChildStatus) -> None:
        if status.state == "RUNNING":
            self._link.nudge()
        self._child_changed("proxy", status)

    def _app_server_changed(self, status: ChildStatus) -> None:
        given_up = status.state == "FATAL" and self._app_server.client is None
        if given_up and not self._try_private_socket(status.reason):
            self.bridges.codex_given_up(words.codex_given_up(status.reason))
        elif not given_up:
            self.bridges.codex_given_up("")
        self._app_server.look()
        self._child_changed("app-server", status)

    def _try_private_socket(self, problem: str) -> bool:
        if not self._launches.codex_exists() or not self._launches.use_private_socket(problem):
            return False
        log.warning("our app-server: %s", self._launches.reason)
        self._app_server_child.start()
        return True

    def _status_line(self) -> str:
        app_server = self._app_server.status()
        return f"app-server {app_server['state']}, proxy {self._proxy.status.state}"

    # What the admin door asks

    def status(self) -> dict[str, Any]:
        """Return ``status``'s answer."""
        proxy = self._proxy.status
        app_server = self._app_server.status()
        if app_server["managed"]:
            said = self._launches.reason or app_server["reason"]
            app_server["reason"] = words.child("app-server", app_server["state"], said)
        return {
            "version": __version__,
            "pid": os.getpid(),
            "state": self._state,
            "uptime_s": round(time.monotonic() - self._started, 3),
            "app_server": app_server,
            "proxy": {
                "state": proxy.state,
                "pid": proxy.pid,
                "generation": proxy.generation,
                "restarts": proxy.restarts,
                "reason": words.child("proxy", proxy.state, proxy.reason),
                "tuis": self.hub.tuis,
            },
            "degraded": [
                *self._app_server.degraded(),
                *(row for bridge in self.bridges for row in bridge.degraded()),
            ],
            "store": self._mending.status(),
            "environment": self._launches.status(),
            "bridges": [bridge.status() for bridge in self.bridges],
        }

    def find_bridge(self, *, bridge: str | None, project_dir: str | None) -> str:
        """Return a bridge's id; raises :exc:`UnknownBridge`."""
        return self.bridges.find_bridge(bridge=bridge, project_dir=project_dir)

    def ensure_bridge(self, project_dir: str) -> str:
        """Return the id of a project's bridge, made if it is new."""
        return self.bridges.ensure_bridge(project_dir)

    def kill(self, ids: list[str], by: str, reason: str) -> None:
        """Switch bridges off until they are revived; their sessions are closed with 4003."""
        for id in self.bridges.change(ids, "kill", by=by, reason=reason):
            self._door.kill(id, self.bridges[id].refusal() or "killed")

    def revive(self, ids: list[str], by: str, reason: str) -> None:
        """Switch killed bridges on again."""
        self.bridges.change(ids, "revive", by=by, reason=reason)

    def pause(self, ids: list[str], by: str, reason: str) -> None:
        """Refuse sends, keep answers, until the bridges are resumed."""
        self.bridges.change(ids, "pause", by=by, reason=reason)

    def resume(self, ids: list[str], by: str, reason: str) -> None:
        """Let paused bridges go on."""
        self.bridges.change(ids, "resume", by=by, reason=reason)

    async def send(self, bridge: str, send: claude.Send, sender: str, to: To) -> claude.Sent:
        """Take a person's message; it is on disk when this returns."""
        return await self.bridges.send(bridge, send, sender, to)

    def release_seat(self, bridge: str, by: str) -> bool:
        """Take the seat from its holder; whether there was one."""
        return self._door.release(bridge, by)

    def agent_pids(self) -> list[int]:
        """Return the app-server: what Codex runs descends from it."""
        pid = self._app_server.status()["pid"]
        return [] if pid is None else [pid]

    def answer_approval(self, id: str, *, allow: bool, by: str) -> ApprovalRow:
        """Answer an approval for a person; raises :exc:`Refused` saying why it cannot be."""
        return self.approvals.answer(id, allow=allow, by=by)

    async def reload(self) -> dict[str, Any]:
        """
        Read the configuration again; a wrong one raises ConfigError and changes nothing.

        When other code is installed by now, hand over to it (``restarting`` in the answer).
        """
        self._manager.reloading()
        try:
            self.config = config.load(self.paths.config_file)
            self._launches.forget()
            await self._launches.prepare()
            self._proxy.start()  # leaves FATAL: what was missing may be there now
            if self._app_server.client is None:
                self._app_server_child.start()
        finally:
            self._manager.ready(self._status_line())
        log.info("configuration read again")
        if self._edition.is_replaced():
            self.is_handing_over = True
            self.shutdown()  # the answer is written before the door closes
        return {"config": str(self.paths.config_file), "restarting": self.is_handing_over}

    def _hang_up(self) -> None:
        assert self._parts is not None
        self._parts.once("reload", self._reload_quietly())

    async def _reload_quietly(self) -> None:
        try:
            await self.reload()
        except ConfigError as error:
            log.error("the configuration stays as it was: %s", error)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Tell *listener* the kind and facts of all news; returns how to end it."""
        return self.bridges.subscribe(listener)
