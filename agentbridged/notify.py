"""
What the service manager is told: sd_notify(3) through ``sdnotify``, made safe for an event loop.

Plain ``sdnotify`` blocks when the manager is stalled, loses a whole message to a character beyond
Latin-1, and lets a newline in a status forge a field (0.3.2, measured). Here a call never blocks
and never raises, text is UTF-8, and a field is one line. Without a manager nothing happens.
"""

from __future__ import annotations

import os
import socket
import time
import warnings
from collections.abc import Mapping
from typing import Any

import sdnotify  # type: ignore[import-untyped] # it has no types

from agentbridged.watchdog import OwnWatchdog

LABEL = "org.agentbridge.agentbridged"
"""By which launchd knows the service."""

STATUS_LIMIT = 500
"""Characters of a status line; the manager shows one line of a terminal."""


def is_supervised(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a service manager started us, which starts us again when we fail."""
    return bool(environment.get("NOTIFY_SOCKET")) or is_launchds(environment)


def is_launchds(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether that manager is launchd, which has no watchdog and hears nothing of us."""
    return environment.get("XPC_SERVICE_NAME") == LABEL


class ServiceManager:
    """The connection to the manager's notification socket, if there is one."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._notifier = _connect() if environment.get("NOTIFY_SOCKET") else None
        connected: socket.socket | None = getattr(self._notifier, "socket", None)
        if connected is not None:
            # A stalled manager must stall nobody: a full queue loses the message instead.
            connected.setblocking(False)
        self._socket = connected
        self._own = OwnWatchdog() if is_launchds(environment) else None
        self.watchdog_s = self._own.period if self._own else _watchdog_period(environment)
        """How often :meth:`watchdog` is due, in seconds; :obj:`None` when nobody waits for it."""

    def ready(self, status: str) -> None:
        """The start, or a reload, is done."""
        self._say(f"MAINPID={os.getpid()}", "READY=1", _status(status))

    def status(self, text: str) -> None:
        """Say in one line how things stand."""
        self._say(_status(text))

    def reloading(self) -> None:
        """The configuration is being read again; :meth:`ready` ends it."""
        # MONOTONIC_USEC is what Type=notify-reload wants; others ignore it.
        self._say("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str) -> None:
        """The orderly end has begun."""
        self._say("STOPPING=1", _status(status))

    def watchdog(self) -> None:
        """The event loop makes progress."""
        self._say("WATCHDOG=1")
        if self._own is not None:
            self._own.beat()

    def extend_timeout(self, seconds: float) -> None:
        """The start or stop under way needs so long yet."""
        self._say(f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}")

    def close(self) -> None:
        """Close the socket; later calls do nothing."""
        if self._own is not None:
            self._own.close()
        if self._socket is not None:
            self._socket.close()
        self._notifier = self._socket = None

    def _say(self, *fields: str) -> None:
        if self._notifier is not None:
            # sdnotify encodes Latin-1; this detour makes the bytes UTF-8.
            self._notifier.notify("\n".join(fields).encode().decode("latin-1"))


def _connect() -> Any:
    with warnings.catch_warnings():
        # sdnotify leaves its socket open when it cannot connect (0.3.2).
        warnings.simplefilter("ignore", ResourceWarning)
        return sdnotify.SystemdNotifier()


def _status(text: str) -> str:
    # isprintable() also refuses the Unicode line separators and lone surrogates.
    line = "".join(c if c.isprintable() else " " for c in text[:STATUS_LIMIT])
    return f"STATUS={line}"


def _watchdog_period(environment: Mapping[str, str]) -> float | None:
    """A third of the manager's patience (sd_watchdog_enabled(3)), if it is us it waits for."""
    try:
        microseconds = int(environment.get("WATCHDOG_USEC", ""))
        meant_for = int(environment.get("WATCHDOG_PID") or os.getpid())
    except ValueError:
        return None
    if microseconds <= 0 or meant_for != os.getpid():
        return None
    return microseconds / 1_000_000 / 3
