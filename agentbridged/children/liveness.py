"""
Whether a process still is the one we know, and waiting for its end, be it our child or not.

A pid alone proves nothing: it is given out again, and a zombie has one too. So a process is known
by its pid **and** its create time, and a zombie counts as dead.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import sys
from dataclasses import dataclass
from typing import Final

import psutil

SAME_TIME: Final = 2.0
"""
Seconds two create times of one process may differ.

The kernel counts from boot, and the boot's wall-clock time moves with each correction of the
clock. Within so short a time a pid does not come round again.
"""

POLL: Final = 5.0
"""Seconds between looks where the kernel offers nothing to wait on."""


@dataclass(frozen=True)
class Identity:
    """Which process is meant; *create_time* in seconds since the epoch, as psutil tells it."""

    pid: int
    create_time: float


def identify(pid: int) -> Identity | None:
    """Return the identity of the live process that has this pid now; ``None`` for none."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
                return None
            return Identity(pid, process.create_time())
    except (psutil.Error, ValueError, OverflowError):
        return None


def is_alive(identity: Identity) -> bool:
    """Whether this very process lives."""
    found = identify(identity.pid)
    return found is not None and abs(found.create_time - identity.create_time) <= SAME_TIME


async def wait_for_end(identity: Identity) -> None:
    """
    Return when this process has ended; it may be anybody's child.

    Uses a pidfd on Linux and a kqueue on macOS, so that nothing is polled; where neither can be
    had, looks every :data:`POLL` seconds.
    """
    try:
        watch = _open_watch(identity.pid)
    except OSError:
        watch = None
    try:
        # Only now: the watch is on whoever has the pid, and that must be the one that is meant.
        if not is_alive(identity):
            return
        if watch is None:
            await _poll(identity)
        else:
            await _readable(watch)
    finally:
        if watch is not None:
            os.close(watch)


def _open_watch(pid: int) -> int | None:
    """Return a file descriptor that becomes readable when the process ends."""
    if sys.platform == "linux":
        return os.pidfd_open(pid)
    elif sys.platform == "darwin":
        with contextlib.ExitStack() as stack:
            queue = stack.enter_context(contextlib.closing(select.kqueue()))
            event = select.kevent(
                pid,
                filter=select.KQ_FILTER_PROC,
                flags=select.KQ_EV_ADD | select.KQ_EV_ONESHOT,
                fflags=select.KQ_NOTE_EXIT,
            )
            queue.control([event], 0, 0)
            return os.dup(queue.fileno())
    else:
        return None


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)


async def _poll(identity: Identity) -> None:
    never = asyncio.Event()
    while is_alive(identity):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL):
                await never.wait()
