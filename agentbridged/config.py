"""
The user's settings: read from TOML, checked once, frozen.

    relay = "all"
    [governor]  enabled, max_hops, max_per_minute
    [codex]     environment
    [history]   keep_days
    [notify]    desktop
    [bridge."/path/of/project"]   the same, for one project

A missing file means the defaults. A wrong value is a :exc:`ConfigError` that names the field.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import msgspec
from msgspec import Meta, Struct

from agentbridged.errors import ConfigError

T = TypeVar("T")
Relay = Literal["all", "replies"]
Environment = Literal["login-shell", "inherit"]
Positive = Annotated[int, Meta(ge=1, le=1_000_000)]


class Governor(Struct, frozen=True, forbid_unknown_fields=True):
    """When two agents that only talk to each other are paused."""

    enabled: bool = True
    """Whether they are paused at all."""
    max_hops: Positive = 20
    """Messages in a row, of both sides, without a word of a person on either."""
    max_per_minute: Positive = 30
    """Messages in both directions together, within any minute."""


class Codex(Struct, frozen=True, forbid_unknown_fields=True):
    """How our app-server is started."""

    environment: Environment = "login-shell"
    """Whose PATH and keys Codex gets: those of your login shell, or the daemon's own."""


class History(Struct, frozen=True, forbid_unknown_fields=True):
    """How long messages are kept."""

    keep_days: Annotated[int, Meta(ge=0, le=36_500)] = 90
    """0 keeps them for ever."""


class Notify(Struct, frozen=True, forbid_unknown_fields=True):
    """How a person is told."""

    desktop: bool = True
    """Whether what needs a person, as an approval, is also shown on the desktop."""


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of one bridge."""

    relay: Relay = "all"
    """``all``: every answer of Codex; ``replies``: only those to a message of Claude's."""
    governor: Governor = Governor()
    codex: Codex = Codex()
    history: History = History()
    notify: Notify = Notify()


class Config(Settings, frozen=True, forbid_unknown_fields=True):
    """The settings, and those of single projects by their root."""

    bridge: dict[str, dict[str, Any]] = {}

    def of(self, root: str) -> Settings:
        """Return the settings that hold for the project at *root*."""
        plain = msgspec.to_builtins(self)
        own = plain.pop("bridge").get(root, {})
        return msgspec.convert(_merged(plain, own), Settings)


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    both = dict(base)
    for key, value in over.items():
        old = both.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            both[key] = _merged(old, value)
        else:
            both[key] = value
    return both


def check(table: dict[str, Any]) -> Config:
    """Turn a TOML table into a :class:`Config`; raises :exc:`ConfigError` naming the field."""
    config = _convert(table, Config, "")
    for root, own in config.bridge.items():
        name = f'bridge."{root}"'
        if not root.startswith("/"):
            raise ConfigError(name, "a project's root is an absolute path")
        _convert(own, Settings, name)
    return config


def _convert(table: dict[str, Any], kind: type[T], prefix: str) -> T:
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at `$")
        inner = place.strip("`").lstrip(".")
        field = ".".join(part for part in (prefix, inner) if part)
        choices = {"relay": get_args(Relay), "codex.environment": get_args(Environment)}.get(inner)
        if choices:
            problem = f"expected {' or '.join(map(repr, choices))}"
        raise ConfigError(field or "config", problem[:1].lower() + problem[1:]) from error


def load(path: Path) -> Config:
    """Read the file, or give the defaults when there is none; raises :exc:`ConfigError`."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Config()
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), "is not UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(str(path), f"is not TOML: {error}") from error
    try:
        return check(table)
    except ConfigError as error:
        raise ConfigError(error.field, f"{error.problem}; mend it in {path}") from error
