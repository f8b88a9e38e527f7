"""
Ends what a daemon that is gone left running, so that nothing is left after a stop.

The children outlive a crash of their daemon on purpose. When it had to be killed because it did not
stop by itself, or never comes back, nobody is left to end them but this.
"""

from __future__ import annotations

import contextlib
import logging
import signal
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import psutil

from agentbridged.children import process
from agentbridged.children.liveness import Identity, is_alive
from agentbridged.children.record import load

PATIENCE: Final = 1.0
"""Seconds each of two SIGTERMs has: the app-server ends its turns after the first."""

log = logging.getLogger(__name__)


def running(records: Iterable[Path]) -> list[Identity]:
    """Return the recorded children that live."""
    known = (load(record).identity for record in records)
    return [one for one in known if one is not None and is_alive(one)]


def end(children: list[Identity]) -> None:
    """SIGTERM, once more, then SIGKILL with all they left in their groups; bounded."""
    for _ in range(2):
        for child in children:
            process.send(child, signal.SIGTERM)
        psutil.wait_procs(_processes(children), timeout=PATIENCE)
    for child in children:
        process.end_group(child)
    psutil.wait_procs(_processes(children), timeout=PATIENCE)


def end_unless_used(record: Path) -> bool:
    """End the recorded child if it has no client; say whether it is gone."""
    left = running([record])
    if any(map(clients, left)):
        return False
    for child in left:
        log.info("no daemon came back, and nobody uses pid %d: ending it", child.pid)
    end(left)
    return True


def clients(server: Identity) -> int:
    """
    Count the connections that a process has taken on its Unix sockets.

    Each bears the path of the socket it came in by, as the one that listens there does (unix(7)).
    """
    try:
        asked = psutil.Process(server.pid)
        # Its name before psutil 6.
        connections = getattr(asked, "net_connections", None) or asked.connections
        paths = Counter(c.laddr for c in connections(kind="unix") if c.laddr)
    except psutil.Error:
        return 0
    return sum(count - 1 for count in paths.values())


def _processes(children: list[Identity]) -> list[psutil.Process]:
    found = []
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            if is_alive(child):
                found.append(psutil.Process(child.pid))
    return found
