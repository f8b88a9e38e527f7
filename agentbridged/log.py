"""
Logging, set up once: to stderr, and to a bounded private file.

Under the journal each line starts with its syslog priority (``<6>``, sd-daemon(3)); elsewhere with
the time. What is logged names ids, pids and reasons, never a message's body or a secret. Logging
never raises: with a full disk or a closed stderr the line is lost and the service goes on.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Mapping
from io import FileIO, TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO

from agentbridged.paths import LOG_FILE

FILE_BYTES = 5_000_000
FILE_BACKUPS = 3

_PLAIN = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_LIBRARIES = ("websockets", "asyncio")


class OneLine(logging.Formatter):
    """A record is one line, whatever is in it, so that nobody can forge a second."""

    def format(self, record: logging.LogRecord) -> str:
        """Format as usual, then write control characters as escapes."""
        text = super().format(record)
        return text if text.isprintable() else "".join(map(_visible, text))


def _visible(character: str) -> str:
    return character if character.isprintable() else ascii(character)[1:-1]


class JournalLine(OneLine):
    """A line whose first characters tell the journal its priority."""

    def format(self, record: logging.LogRecord) -> str:
        """Format, with the priority of syslog(3) in front."""
        return f"<{_priority(record.levelno)}>{super().format(record)}"


def _priority(level: int) -> int:
    for floor, priority in ((50, 2), (40, 3), (30, 4), (20, 6)):
        if level >= floor:
            return priority
    return 7


class QuietStream(logging.StreamHandler[IO[str]]):
    """A stream that may be closed or full; what it cannot take is lost."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Lose the record: there is nowhere left to complain."""


class PrivateFile(RotatingFileHandler):
    """A file of bounded size, mode 0600; what it cannot take is lost."""

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(
            self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        os.fchmod(descriptor, 0o600)
        # Unbuffered: a buffer would keep what a full disk refused, and break the file's close.
        raw = FileIO(descriptor, "a")
        return TextIOWrapper(raw, "utf-8", "backslashreplace", write_through=True)

    def handleError(self, record: logging.LogRecord) -> None:
        """Lose the record: stderr has it too."""


def set_up(
    directory: Path,
    *,
    level: int = logging.INFO,
    environment: Mapping[str, str] = os.environ,
    file_name: str = LOG_FILE,
    stream: IO[str] | None = None,
) -> None:
    """
    Send the log to *stream* (stderr) and to *directory*/*file_name*; a second call replaces this.

    A directory that cannot be written is told on stderr, once, and is no error.
    """
    take_down()
    root = logging.getLogger()
    root.setLevel(level)
    console = QuietStream(sys.stderr if stream is None else stream)
    if environment.get("JOURNAL_STREAM"):
        console.setFormatter(JournalLine("%(name)s: %(message)s"))
    else:
        console.setFormatter(OneLine(_PLAIN))
    root.addHandler(console)
    for library in _LIBRARIES:
        # Their own lines carry tracebacks and frame contents; what matters of it, we log.
        logging.getLogger(library).setLevel(max(level, logging.WARNING))
    try:
        file = PrivateFile(
            directory / file_name, maxBytes=FILE_BYTES, backupCount=FILE_BACKUPS, encoding="utf-8"
        )
    except OSError as error:
        logging.getLogger(__name__).warning("no log file in %s: %s", directory, error.strerror)
        return
    file.setFormatter(OneLine(_PLAIN))
    root.addHandler(file)


def take_down() -> None:
    """Close what :func:`set_up` opened."""
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, (QuietStream, PrivateFile)):
            root.removeHandler(handler)
            with contextlib.suppress(OSError, ValueError):
                handler.close()
