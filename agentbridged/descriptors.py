"""
When the file descriptors are used up: said once, and what must be known is known all the same.

asyncio itself stops listening for a second when it cannot accept a connection; those who connect
wait meanwhile in the socket's backlog.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import resource
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

log = logging.getLogger(__name__)

QUIET = 5.0
"""Seconds without a complaint after which there are descriptors again."""


def used_up(error: BaseException | None) -> bool:
    """Whether an error says that this process, or the system, has no descriptor left."""
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)


class Reserve:
    """A few descriptors put by, for what cannot wait until there are others again."""

    def __init__(self, size: int = 4) -> None:
        self._size = size
        self._kept: list[int] = []

    def fill(self) -> None:
        """Put by what is missing, as far as there are any."""
        try:
            while len(self._kept) < self._size:
                self._kept.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            if not used_up(error):
                raise

    def release(self) -> None:
        """Give all of it up."""
        while self._kept:
            os.close(self._kept.pop())

    def reading(self, read: Callable[[], T]) -> T:
        """Return what *read* returns, with the reserve's help where it needs it."""
        try:
            return read()
        except OSError as error:
            if not used_up(error) or not self._kept:
                raise
        self.release()
        try:
            return read()
        finally:
            self.fill()


RESERVE = Reserve()
"""The daemon's, empty in any other program."""


class Complaints:
    """Hears what asyncio complains of, and tells of used up descriptors once in a spell."""

    def __init__(self) -> None:
        self._quiet: asyncio.TimerHandle | None = None

    def hear(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Take a complaint; fits :meth:`asyncio.loop.set_exception_handler`."""
        if not used_up(context.get("exception")):
            loop.default_exception_handler(context)
            return
        if self._quiet is None:
            limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
            log.error(
                "no file descriptor is left (the limit is %d): new connections wait; close "
                "sessions, or raise the limit (LimitNOFILE= of the unit, `ulimit -n`)",
                limit,
            )
        else:
            self._quiet.cancel()
        self._quiet = loop.call_later(QUIET, self._over)

    def _over(self) -> None:
        self._quiet = None
        log.info("there are file descriptors again")

    def end(self) -> None:
        """Wait for nothing any more."""
        if self._quiet is not None:
            self._quiet.cancel()
