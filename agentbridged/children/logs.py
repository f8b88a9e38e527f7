"""
Keeps the logs of children within bounds: a child that runs for weeks may complain all along.

A child appends to a file that it holds open, so a full log is copied and emptied, never moved away
from under it; what is written in between is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

LIMIT: Final = 5 * 1024 * 1024
"""Bytes of a log beyond which it is begun anew; one old one is kept."""
EVERY: Final = 3600.0
"""Seconds between looks at the logs of what runs."""


async def keep_small(logs: Iterable[Path]) -> None:
    """Look after the logs of children that run, for ever."""
    while True:
        for log in logs:
            begin_anew(log)
        await asyncio.sleep(EVERY)


def begin_anew(log: Path) -> None:
    """Empty a log that is full, keeping a copy as ``.1`` if the disk has room for one."""
    with contextlib.suppress(OSError):
        if log.stat().st_size > LIMIT:
            with contextlib.suppress(OSError):
                shutil.copy(log, log.with_name(f"{log.name}.1"))
            os.truncate(log, 0)
