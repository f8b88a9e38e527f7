"""
The database's files: put aside, never overwritten, and replaced so that a crash loses neither.

A replacement is made under the name ``.partial``; once whole it is called ``.new``, then the old
files are put aside, then it gets its place. Whoever opens the database first finishes what a crash
interrupted.
"""

from __future__ import annotations

import errno
import os
import time
from contextlib import suppress
from pathlib import Path

COMPANIONS = ("", "-wal", "-shm")
"""The files of one database."""


def put_aside(path: Path, why: str) -> Path | None:
    """
    Rename a database and its companions, marked with the reason and the time; return its new path.

    Returns ``None`` when nothing was there or it cannot be renamed: then it is as it was.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    new = path.with_name(f"{path.name}.{why}-{stamp}")
    number = 1
    while any(Path(f"{new}{each}").exists() for each in COMPANIONS):
        number += 1
        new = path.with_name(f"{path.name}.{why}-{stamp}-{number}")
    moved = False
    try:
        for companion in COMPANIONS:
            with suppress(FileNotFoundError):
                os.rename(f"{path}{companion}", f"{new}{companion}")
                moved = True
    except OSError:
        return None
    return new if moved else None


def found_aside(path: Path) -> list[Path]:
    """Return what was put aside before, oldest first."""
    found = path.parent.glob(f"{path.name}.damaged-*")
    return sorted(file for file in found if not file.name.endswith(COMPANIONS[1:]))


def partial(path: Path) -> Path:
    """Return where a replacement for a database is to be made; nothing is there now."""
    making = path.with_name(f"{path.name}.partial")
    _remove(making)
    return making


def replace(path: Path, why: str) -> Path | None:
    """
    Put the files of a database aside and the replacement, which is closed, in their place.

    Returns where they are now. Raises :exc:`OSError` when that cannot be done: what was there is
    there still.
    """
    new = _new(path)
    _remove(new)
    os.rename(path.with_name(f"{path.name}.partial"), new)
    aside = put_aside(path, why)
    if _is_there(path):
        raise FileExistsError(errno.EEXIST, "what is in its place cannot be moved")
    os.rename(new, path)
    return aside


def settle(path: Path) -> None:
    """Finish a replacement that a crash interrupted, or forget one that came to nothing."""
    new = _new(path)
    with suppress(OSError):  # what is wrong there, opening the file says better
        if path.exists():
            _remove(new)
        else:
            put_aside(path, "stray")  # a log without its file would be taken for the next one's
            if new.exists():
                os.rename(new, path)


def _new(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")


def _is_there(path: Path) -> bool:
    return any(Path(f"{path}{companion}").exists() for companion in COMPANIONS)


def _remove(path: Path) -> None:
    for companion in COMPANIONS:
        Path(f"{path}{companion}").unlink(missing_ok=True)
