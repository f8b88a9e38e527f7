"""
Ends what a daemon that is gone left running, so that nothing is left after a stop.

The children outlive a crash of their daemon on purpose. When it had to be killed because it did not
stop by itself, nobody is left to end them but this.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import psutil

from agentbridged.children import process
from agentbridged.children.liveness import Identity, is_alive
from agentbridged.children.record import load

PATIENCE: Final = 1.0
"""Seconds each of two SIGTERMs has: the app-server ends its turns after the first."""


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


def _processes(children: list[Identity]) -> list[psutil.Process]:
    found = []
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            if is_alive(child):
                found.append(psutil.Process(child.pid))
    return found
