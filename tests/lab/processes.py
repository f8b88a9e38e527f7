"""Which processes belong to a world, and which TCP ports they listen on, by the kernel's tables."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

import psutil

LISTEN = "0A"
"""Of the column ``st`` in ``/proc/net/tcp`` (TCP_LISTEN)."""


def with_variable(name: str, value: str) -> list[psutil.Process]:
    """
    Return the running processes that were started with this environment variable.

    A variable is inherited, so this finds also what lost its parent; zombies have none left.
    """
    return [
        process
        for process in psutil.process_iter()
        if process.pid != os.getpid() and _variables(process).get(name) == value
    ]


def with_descendants(pids: Iterable[int]) -> dict[int, psutil.Process]:
    """Return the processes of these pids that still run, and all below them."""
    found: dict[int, psutil.Process] = {}
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            for one in (process, *process.children(recursive=True)):
                if one.status() != psutil.STATUS_ZOMBIE:
                    found[one.pid] = one
    return found


def describe(processes: Iterable[psutil.Process]) -> str:
    """Return one line for each process: pid and command line."""
    lines = []
    for process in processes:
        with contextlib.suppress(psutil.Error):
            lines.append(f"{process.pid}: {' '.join(process.cmdline())[:200]}")
    return "\n".join(lines)


def tcp_listeners(pids: Iterable[int]) -> list[str]:
    """Return ``pid address`` for each TCP socket in state LISTEN that one of the pids holds."""
    listening = dict(_listening_inodes())
    return [
        f"{pid} {listening[inode]}"
        for pid in pids
        for inode in _socket_inodes(pid)
        if inode in listening
    ]


def _variables(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}


def _listening_inodes() -> Iterable[tuple[str, str]]:
    for table in ("tcp", "tcp6"):
        path = Path("/proc/net", table)
        rows = path.read_text(encoding="ascii").splitlines()[1:] if path.exists() else []
        for columns in map(str.split, rows):
            if columns[3] == LISTEN:
                yield columns[9], columns[1]


def _socket_inodes(pid: int) -> Iterable[str]:
    with contextlib.suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                target = os.readlink(descriptor)
                if target.startswith("socket:["):
                    yield target.removeprefix("socket:[").removesuffix("]")
