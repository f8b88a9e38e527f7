"""
Keeps the logs of children within bounds: a child that runs for weeks may complain all along.

A child appends to a file that it holds open, so of a full log the end is copied and the file
emptied, never moved away from under it; what is written in between is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

LIMIT: Final = 5 * 1024 * 1024
"""Bytes of a log beyond which it is begun anew; of the old one so many are kept."""
EVERY: Final = 3600.0
"""Seconds between looks at the logs of what runs."""


async def keep_small(logs: Iterable[Path]) -> None:
    """Look after the logs of children that run, for ever, in a thread: a disk may be slow."""
    while True:
        for log in logs:
            await asyncio.to_thread(begin_anew, log)
        await asyncio.sleep(EVERY)


def begin_anew(log: Path) -> None:
    """Empty a log that is full, keeping its end as ``.1`` if the disk has room for it."""
    with contextlib.suppress(OSError), log.open("r+b") as full:
        if os.fstat(full.fileno()).st_size > LIMIT:
            with contextlib.suppress(OSError):
                full.seek(-LIMIT, os.SEEK_END)
                _write(log.with_name(f"{log.name}.1"), full.read(LIMIT))
            full.truncate(0)


def _write(path: Path, data: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
