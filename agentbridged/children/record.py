"""What is known of a managed child, on disk: the next daemon adopts it by that."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec
from msgspec import Struct

from agentbridged.children.liveness import Identity


class Record(Struct, kw_only=True, omit_defaults=True):
    """The newest incarnation; without a *pid* it has ended, or is about to begin."""

    pid: int | None = None
    create_time: float = 0.0
    generation: int = 0
    argv0: str = ""
    """For people: which program it is."""

    @property
    def identity(self) -> Identity | None:
        """The process, if one is recorded."""
        return None if self.pid is None else Identity(self.pid, self.create_time)


_decoder = msgspec.json.Decoder(Record)


def load(path: Path) -> Record:
    """Read a record; one that is missing or damaged reads as that of a child never started."""
    try:
        return _decoder.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError, UnicodeError):
        return Record()


def save(path: Path, record: Record) -> None:
    """Write a record in one step, readable only to this user; raises :exc:`OSError`."""
    fresh = path.with_name(f"{path.name}.new")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(record))
        fresh.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise
