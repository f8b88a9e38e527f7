"""
Waiting for the end of a process, be it our child or not; which one is meant, ``identity`` says.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import sys
from typing import Final

from agentbridged.identity import SAME_TIME, Identity, identify, is_alive, is_stopped

__all__ = ["SAME_TIME", "Identity", "identify", "is_alive", "is_stopped", "wait_for_end"]

POLL: Final = 5.0
"""Seconds between looks where the kernel offers nothing to wait on."""


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
