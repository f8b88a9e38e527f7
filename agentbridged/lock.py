"""
One daemon per user: a lock file that the kernel releases when its holder dies.

Its text says who holds it, for people and for the shims' recovery poller:
``{"pid": 4242, "create_time": 2746317213812.34, "version": "0.1.0"}``.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from agentbridged import __version__
from agentbridged.errors import AlreadyRunning
from agentbridged.identity import Identity, identify, started


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock; raises :exc:`AlreadyRunning` naming the holder's pid."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(_holder(path)) from None
        text = {
            "pid": os.getpid(),
            "create_time": started(psutil.Process()),
            "version": __version__,
        }
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(text).encode(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def holder(path: Path) -> Identity | None:
    """Return the running daemon, or ``None`` when nobody holds the lock."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return identify(_holder(path))
    finally:
        os.close(descriptor)
    return None


def _holder(path: Path) -> int:
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0  # it is being written just now
