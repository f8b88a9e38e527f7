"""
A world with a chaos relay before each of our doors.

The daemon has a runtime directory of its own. In the one that everybody else knows,
``claude.sock``, ``codex.sock`` and ``admin.sock`` are relays, and the lock file is a link to the
daemon's. The app-server listens elsewhere, and Codex's control socket is a relay. ``proxy.sock`` is
moved away and a relay put in its place, once a proxy listens there.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import psutil

from tests.lab import codex, doors, processes
from tests.lab.chaos import Chaos
from tests.lab.scripted import Json
from tests.lab.waiting import until
from tests.lab.world import World

DOORS = ("claude", "codex", "admin")
APP_SERVER_PATIENCE = 2.0
"""Seconds that a client of an app-server which is just starting waits at the relay."""

WRAPPER = """\
#!/bin/sh
# The app-server listens where the relay finds it.
if [ "$*" = "app-server --listen unix://" ]; then
    exec '{codex}' app-server --listen 'unix://{socket}'
fi
exec '{codex}' "$@"
"""


class ChaosWorld(World):
    """One home, one daemon, and a relay before each door."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.back = self.short / "back"
        """The daemon's own runtime directory."""
        self.relays: dict[str, Chaos] = {}
        self.runtime.mkdir(mode=0o700)
        (self.runtime / "agentbridged.lock").symlink_to(self.back / "agentbridged.lock")
        for door in DOORS:
            name = f"{door}.sock"
            self._put(door, self.runtime / name, self.back / name)
        self._real_app_server = self.short / "app-server"
        self._codex_wrapper = self.home / "codex-behind-a-relay"
        script = WRAPPER.format(codex=self.codex_binary, socket=self._real_app_server)
        self._codex_wrapper.write_text(script, encoding="utf-8")
        self._codex_wrapper.chmod(0o755)
        front = self.short / "control"
        self._put("app-server", front, self._real_app_server, patience=APP_SERVER_PATIENCE)
        control = codex.control_socket(self.codex_home)
        control.parent.mkdir(parents=True)
        control.symlink_to(front)

    def _put(self, door: str, front: Path, target: Path, *, patience: float = 0) -> None:
        self.relays[door] = Chaos(front, target, patience=patience, environment=self.environment)

    def start_daemon(self, *, whole: bool = True, **variables: str) -> subprocess.Popen[bytes]:
        """Start the daemon behind the relays."""
        own = {
            "AGENTBRIDGE_RUNTIME_DIR": str(self.back),
            "AGENTBRIDGE_CODEX": str(self._codex_wrapper),
        }
        return super().start_daemon(whole=whole, **own, **variables)

    def stand_before_the_proxy(self) -> Chaos:
        """Put a relay before the proxy's ``proxy.sock``; the next daemon comes through it."""
        listening = self.back / "proxy.sock"
        until(listening.exists, "the proxy's socket", explain=self.report)
        before = self.relays.get("proxy")
        if before is not None and before.listens:
            return before
        hidden = self.back / "proxy.real"
        listening.rename(hidden)
        if before is not None:
            before.close()
        self._put("proxy", listening, hidden)
        return self.relays["proxy"]

    def ask_the_daemon(self) -> Json:
        """Return ``status`` as the daemon itself says it, past the relays."""
        answer = doors.ask(self.back / "admin.sock", "status")
        result: Json = answer["result"]
        return result

    def _daemon_answers(self) -> bool:
        # It is started behind the relays: whether those let anybody through is another question.
        assert self.daemon
        try:
            return self.daemon.poll() is None and bool(self.ask_the_daemon())
        except (OSError, ValueError, KeyError):
            return super()._daemon_answers()

    def running(self) -> list[psutil.Process]:
        """Return every process of this world but the relays."""
        relays = {relay.pid for relay in self.relays.values()}
        mine = processes.with_variable("HOME", str(self.home))
        return [process for process in mine if process.pid not in relays]

    def close(self) -> None:
        """End everything in order, the relays last."""
        try:
            for relay in self.relays.values():
                relay.calm()
            super().close()
        finally:
            for relay in self.relays.values():
                relay.close()
