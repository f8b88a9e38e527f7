"""``config``: see and change the settings file, checked before it is written."""

from __future__ import annotations

import os
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import click
import msgspec

from agentbridged import paths
from agentbridged.ctl.daemon import json_option, show_json
from agentbridged.errors import AgentBridgeError, ConfigError


@click.group()
def config() -> None:
    """See and change the settings."""


@config.command()
def path() -> None:
    """Print the path of the settings file."""
    click.echo(paths.from_environment().config_file)


@config.command()
@json_option
def show(as_json: bool) -> None:
    """Print the settings in force: the file's, and the defaults for the rest."""
    settings = _effective()
    if as_json:
        show_json(settings)
    else:
        click.echo(_written(settings), nl=False)


@config.command()
@click.argument("key")
@json_option
def get(key: str, as_json: bool) -> None:
    """Print one setting, as `governor.max_hops`."""
    value: Any = _effective()
    for name in _names(key):
        if not isinstance(value, dict) or name not in value:
            raise ConfigError(
                key, "there is no such setting; `agentbridgectl config show` lists them"
            )
        value = value[name]
    if as_json:
        show_json(value)
    elif isinstance(value, dict):
        click.echo(_written(value), nl=False)
    else:
        click.echo(value if isinstance(value, str) else msgspec.json.encode(value))


@config.command("set")
@click.argument("key")
@click.argument("value")
def set_(key: str, value: str) -> None:
    """Change one setting, as `governor.max_hops 40`; a running daemon takes it on `reload`."""
    from agentbridged.config import check

    file = paths.from_environment().config_file
    table = _read(file)
    *outer, last = _names(key)
    inner = table
    for name in outer:
        inner = inner.setdefault(name, {})
        if not isinstance(inner, dict):
            raise ConfigError(key, f"{name} is a value and not a table")
    inner[last] = _value(value)
    check(table)
    _write(file, _written(table))
    click.echo(f"{key} is set in {file}; `agentbridgectl reload` makes a running daemon take it")


def _effective() -> dict[str, Any]:
    from agentbridged.config import load

    effective = msgspec.to_builtins(load(paths.from_environment().config_file))
    assert isinstance(effective, dict)
    return effective


def _names(key: str) -> list[str]:
    """Split a dotted key as TOML does, so that a quoted part may hold dots and slashes."""
    names: list[str] = []
    try:
        table: Any = tomllib.loads(f"{key} = 0")
        while isinstance(table, dict):
            ((name, table),) = table.items()
            names.append(name)
    except ValueError as error:
        raise click.UsageError(
            f"KEY: {key!r} is no TOML key, as `governor.max_hops` is."
        ) from error
    return names


def _value(text: str) -> Any:
    """Read a TOML value; what is none is a string, so that quotes may be left out."""
    try:
        table = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return table["value"] if len(table) == 1 else text


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise AgentBridgeError(f"cannot read {file}: {error.strerror}") from error
    except ValueError as error:
        raise AgentBridgeError(f"{file} is not TOML ({error}); mend it with an editor") from error


def _written(table: dict[str, Any]) -> str:
    import tomli_w

    return tomli_w.dumps(table)


def _write(file: Path, text: str) -> None:
    """Replace the file in one step, so that a reader finds the old or the new, and never half."""
    target = file.resolve()  # a link into somebody's dotfiles stays a link
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(name, target)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise AgentBridgeError(f"cannot write {file}: {error.strerror}") from error
