"""Where a life writes, watched: to die there, or to remember how everything was."""

from __future__ import annotations

import functools
import os
import re
import shutil
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import agentbridged
from agentbridged.store import Store
from tests.store.life import live, picture

WRITE = re.compile(
    r"\s*(BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|INSERT|UPDATE|DELETE|CREATE|DROP"
    r"|PRAGMA (journal_mode|user_version|application_id) =)"
)
INNER = re.compile(r"before (COMMIT|SAVEPOINT|RELEASE|INSERT|UPDATE|DELETE)")
PACKAGE = Path(agentbridged.__file__).parent
CONNECT = sqlite3.connect
Fact = tuple[str, str, str]


@dataclass
class Point:
    """A moment of writing: what is about to be done, and how everything is then."""

    what: str
    files: dict[str, bytes]
    told: list[Fact]

    def is_like(self, other: Point) -> bool:
        return (self.files, self.told) == (other.files, other.told)


@dataclass
class Watch:
    """Counts the points of writing; ends the process at one of them, or remembers all."""

    deadly: int = 0
    directory: Path | None = None
    """What to remember at each point."""
    told: list[Fact] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    sites: set[str] = field(default_factory=set)
    """Where in the package transactions were opened or files moved."""
    count: int = 0

    def point(self, what: str) -> None:
        self.count += 1
        if self.count == self.deadly:
            signal.raise_signal(signal.SIGKILL)
        if self.directory is not None:
            self.points.append(Point(what, self._files(what), list(self.told)))

    def _files(self, what: str) -> dict[str, bytes]:
        """Return what is in the files; within a transaction nothing is written before its end."""
        assert self.directory is not None
        if self.points and INNER.match(what):
            before = self.points[-1].files
            now = {p.name: p.stat().st_size for p in files_of(self.directory)}
            assert now == {name: len(content) for name, content in before.items()}, what
            return before
        return {p.name: p.read_bytes() for p in files_of(self.directory)}

    def site(self) -> None:
        frame = sys._getframe(2)
        while frame is not None:
            path = Path(frame.f_code.co_filename)
            if PACKAGE in path.parents and frame.f_code.co_name not in PLUMBING:
                self.sites.add(f"{path.relative_to(PACKAGE)}:{frame.f_code.co_name}")
                return
            frame = frame.f_back  # type: ignore[assignment]


def files_of(directory: Path) -> list[Path]:
    """Return the database's files; the index of its log is made anew."""
    found = (directory / "state").iterdir()
    return [path for path in found if not path.name.endswith("-shm")]


PLUMBING = {"transaction", "block", "wrapped", "__enter__", "__exit__"}


def watched(watch: Watch, patch: pytest.MonkeyPatch) -> None:
    """Have every connection and every renaming watched."""

    class Watched(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            if sql.startswith("PRAGMA synchronous"):  # what a dead process wrote, the system has
                return super().execute("PRAGMA synchronous = OFF")
            if not WRITE.match(sql):
                return super().execute(sql, *values)
            if sql.startswith(("BEGIN", "SAVEPOINT")):
                watch.site()
            watch.point(f"before {sql[:40]}")
            done = super().execute(sql, *values)
            if sql == "COMMIT":
                watch.point("after COMMIT")
            return done

    def around(move: Callable[..., None]) -> Callable[..., None]:
        def moved(*arguments: Any, **options: Any) -> None:
            watch.site()
            watch.point(f"before {move.__name__}")
            move(*arguments, **options)
            watch.point(f"after {move.__name__}")

        return moved

    patch.setattr(sqlite3, "connect", functools.partial(CONNECT, factory=Watched))
    patch.setattr(os, "rename", around(os.rename))


@contextmanager
def quick_directory() -> Iterator[Path]:
    """Make a directory in memory where there is one: a process's death needs no disk."""
    shared = Path("/dev/shm")
    place = shared if shared.is_dir() and os.access(shared, os.W_OK) else None
    directory = Path(tempfile.mkdtemp(prefix="abt-", dir=place))
    yield directory
    shutil.rmtree(directory)


def rehearse(directory: Path) -> tuple[Watch, dict[str, Any], set[str]]:
    """Live once without dying; return what was written, the end, and the methods called."""
    directory.mkdir(exist_ok=True)
    watch, called = Watch(directory=directory), set()

    class Recorded(Store):
        def __getattribute__(self, name: str) -> Any:
            called.add(name)
            return super().__getattribute__(name)

    with pytest.MonkeyPatch.context() as patch:
        watched(watch, patch)
        live(directory, lambda *fact: watch.told.append(fact), Recorded)
    store = Store(directory / "state" / "a.db")
    end = picture(store)
    store.close()
    return watch, end, called
