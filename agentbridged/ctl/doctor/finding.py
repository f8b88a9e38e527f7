"""What a check finds: one line for a person, a row for a program."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

State = Literal["ok", "warn", "fail", "skipped"]


class Finding(Struct, frozen=True):
    """One thing that was looked at; *remedy* is what a person does, empty when nothing."""

    id: str
    """Stable, for programs: ``daemon``, ``codex.version``."""
    name: str
    state: State
    what: str
    remedy: str = ""


class Findings:
    """What one check found of its *subject*, in order."""

    def __init__(self, id: str, name: str) -> None:
        self._id, self._name = id, name
        self.all: list[Finding] = []

    def ok(self, what: str, *, of: str = "") -> None:
        """All is well, and how it is."""
        self._add("ok", what, "", of)

    def warn(self, what: str, remedy: str, *, of: str = "") -> None:
        """It works, and might not."""
        self._add("warn", what, remedy, of)

    def fail(self, what: str, remedy: str, *, of: str = "") -> None:
        """It does not work."""
        self._add("fail", what, remedy, of)

    def skipped(self, what: str, *, of: str = "") -> None:
        """It could not be looked at, and why."""
        self._add("skipped", what, "", of)

    def _add(self, state: State, what: str, remedy: str, of: str) -> None:
        id = f"{self._id}.{of}" if of else self._id
        self.all.append(Finding(id, self._name, state, " ".join(what.split()), remedy))


def shown(path: Path, environment: Mapping[str, str]) -> str:
    """Return a path as a person writes it."""
    home = environment.get("HOME", "")
    text = str(path)
    return f"~{text[len(home) :]}" if home and text.startswith(f"{home}/") else text


def table(status: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return an object of the daemon's status; an empty one where this daemon has none."""
    value = status.get(name)
    return value if isinstance(value, dict) else {}


def rows(status: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Return a list of objects of the daemon's status; an empty one where it has none."""
    value = status.get(name)
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []
