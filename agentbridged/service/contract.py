"""What every way of running the service can do, and what it tells."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from agentbridged import lock
from agentbridged.errors import Refused
from agentbridged.paths import Paths

CARRIED = (
    *("AGENTBRIDGE_CONFIG", "AGENTBRIDGE_RUNTIME_DIR", "AGENTBRIDGE_STATE_DIR"),
    *("AGENTBRIDGE_CODEX", "AGENTBRIDGE_CLAUDE", "XDG_CONFIG_HOME", "XDG_STATE_HOME"),
)
"""Variables by which commands and daemon find each other: a service has none of the shell's."""


@dataclass(frozen=True)
class Programs:
    """The commands of this installation, each with absolute paths."""

    daemon: tuple[str, ...]
    ctl: tuple[str, ...]


@dataclass(frozen=True)
class ServiceStatus:
    """How the service is. What cannot be known is ``None``."""

    manager: str
    """``systemd``, ``launchd`` or ``none``."""
    installed: bool
    enabled: bool
    """It is started at login (or at boot, with linger)."""
    state: str
    """The manager's word: ``active``, ``inactive``, ``failed``, …"""
    pid: int | None
    file: str | None
    """The unit or the agent."""
    lingers: bool | None = None
    """It runs without a login, from boot on."""
    notes: list[str] = field(default_factory=list)
    """What a person should know, with what to do."""


class Service(Protocol):
    """One way of running the daemon. Each verb may be repeated, and returns what to tell."""

    def install(self, programs: Programs, *, linger: bool) -> list[str]:
        """Let the manager know the daemon, and start it at login; does not start it now."""

    def uninstall(self, programs: Programs) -> list[str]:
        """
        Stop it, end what it left, and remove what :meth:`install` made; data and settings stay.

        Raises :exc:`Refused`, with nothing changed, while a daemon runs that is not the service's.
        What a daemon left that cannot be run any more is only told of.
        """

    def start(self, programs: Programs) -> list[str]:
        """Start it and return when it serves."""

    def stop(self, programs: Programs) -> list[str]:
        """Stop it and return when nothing of it is left."""

    def restart(self, programs: Programs) -> list[str]:
        """Stop it, if it runs, and start it."""

    def status(self) -> ServiceStatus:
        """Tell how it is."""


def carried(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables that the service needs to have from this shell."""
    return {name: environment[name] for name in CARRIED if environment.get(name)}


def refuse_another(paths: Paths, ours: int | None = None) -> None:
    """Raise :exc:`Refused` when a daemon runs that is not the service's, whose pid is *ours*."""
    if (running := lock.holder(paths.lock_file)) and running.pid != ours:
        raise Refused(
            f"agentbridged already runs as pid {running.pid}, outside the service; "
            "end that first (Ctrl-C in its terminal, or `agentbridgectl rpc shutdown`)"
        )


def end_if_possible(end_leftovers: Callable[[Programs], None], programs: Programs) -> list[str]:
    """End what a daemon left; returns what to tell if its program, broken maybe, cannot."""
    try:
        end_leftovers(programs)
    except Refused as error:
        return [f"{error}; what runs of it ends by itself when nobody uses it"]
    return []


def write(path: Path, text: str) -> bool:
    """Write a file in one step; whether that changed anything."""
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(text, encoding="utf-8")
    fresh.chmod(0o644)
    fresh.replace(path)
    return True
