"""
Read single values near the start of a JSON text that is cut off somewhere.

An answer of the app-server may have megabytes, and the thread's id stands in its first hundred
bytes; this finds it there without the rest. Values that come after the cut are just not found.
"""

from __future__ import annotations

import json
import re
from typing import TypeAlias

Scalar: TypeAlias = str | int | float | bool | None
Path: TypeAlias = tuple[str, ...]

_TOKEN = re.compile(rb'\s*(?:([{}\[\],:])|("(?:[^"\\]|\\.)*")|([-+.\w]+)(?=[\s,}\]]))', re.DOTALL)
_DEPTH = 64


def find(data: bytes, wanted: frozenset[Path]) -> dict[Path, Scalar]:
    """
    Return the scalars at these paths of object members, as far as *data* shows them.

    Never raises: where the text is no JSON, reading ends.
    """
    scan = _Scan(wanted)
    at = 0
    while (token := _TOKEN.match(data, at)) and scan.take(*token.groups()):
        at = token.end()
    return scan.found


class _Scan:
    def __init__(self, wanted: frozenset[Path]) -> None:
        self.found: dict[Path, Scalar] = {}
        self._wanted = wanted
        self._path: list[str | None] = []  # of each open object the member, of an array None
        self._key_next = False

    def take(self, mark: bytes | None, text: bytes | None, word: bytes | None) -> bool:
        """Take the next token; return whether to go on."""
        if mark is not None:
            return self._mark(mark)
        value = _scalar(text or word or b"")
        if self._key_next and text is not None and self._path:
            self._path[-1] = str(value)
            self._key_next = False
        elif tuple(self._path) in self._wanted:
            self.found.setdefault(tuple(str(member) for member in self._path), value)
        return len(self.found) < len(self._wanted)

    def _mark(self, mark: bytes) -> bool:
        if mark in b"{[":
            self._path.append("" if mark == b"{" else None)
            self._key_next = mark == b"{"
        elif mark in b"}]":
            if self._path:
                self._path.pop()
            self._key_next = False
        elif mark == b",":
            self._key_next = bool(self._path) and self._path[-1] is not None
        return 0 < len(self._path) <= _DEPTH


def _scalar(token: bytes) -> Scalar:
    try:
        value = json.loads(token)
    except ValueError:
        return None
    return value if isinstance(value, str | int | float | bool) else None
