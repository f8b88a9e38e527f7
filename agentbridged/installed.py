"""
Whether what is installed still is what runs.

An upgrade replaces the package's files, or what the program's path leads to. A running process has
read them long before; this compares what lies there now with what lay there when it started.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent


class Edition:
    """What lay on disk when this was made: of the *package*, and where the *program* leads to."""

    def __init__(self, package: Path = PACKAGE, program: str | None = None) -> None:
        self._package = package
        self._program = os.path.abspath(sys.argv[0] if program is None else program)
        self._then = self._look()

    def is_replaced(self) -> bool:
        """Whether other code would run if the program were started now."""
        # Without the program nothing would: it was removed, or is just being put there.
        return os.path.exists(self._program) and self._look() != self._then

    def _look(self) -> list[tuple[str, int, int]]:
        seen = [(os.path.realpath(self._program), 0, 0)]
        for directory, _, names in os.walk(self._package):
            for name in names:
                if name.endswith(".py"):
                    path = os.path.join(directory, name)
                    try:
                        found = os.stat(path)
                    except OSError:
                        continue  # gone between the listing and this
                    seen.append((path, found.st_size, found.st_mtime_ns))
        return sorted(seen)
