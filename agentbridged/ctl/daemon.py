"""How a command reaches the daemon, and which bridge it means."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click
import msgspec
from msgspec import Raw

from agentbridged import paths
from agentbridged.admin.client import AdminClient
from agentbridged.errors import AgentBridgeError

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def client() -> AdminClient:
    """Connect to the daemon, with the patience that was asked for."""
    timeout: float = click.get_current_context().find_root().params["timeout"]
    return AdminClient(paths.from_environment().admin_socket, timeout)


def ask(method: str, params: Any = None) -> Raw:
    """Ask the daemon one thing; the answer as JSON."""
    with client() as connection:
        return connection.call(method, params)


def ask_as(kind: type[T], method: str, params: Any = None) -> T:
    """Ask the daemon one thing; the answer as *kind*."""
    with client() as connection:
        return connection.call_as(kind, method, params)


def show_json(answer: Any) -> None:
    """Print an answer for programs."""
    raw = bytes(answer) if isinstance(answer, Raw) else msgspec.json.encode(answer)
    click.echo(msgspec.json.format(raw, indent=2))


def place(bridge: str | None) -> dict[str, str]:
    """Return the params that name a bridge: an id, or a directory in its project."""
    if bridge is None:
        return {"project_dir": here()}
    if "/" in bridge or bridge in (".", ".."):
        return {"project_dir": os.path.abspath(bridge)}
    return {"bridge": bridge}


def here() -> str:
    """Return the current directory; it may have been deleted under us."""
    try:
        return os.getcwd()
    except OSError as error:
        raise AgentBridgeError("the current directory is gone; cd to another one") from error


def json_option(command: F) -> F:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(
        command
    )


def bridge_option(command: F) -> F:
    """Add ``--bridge``."""
    return click.option(
        "--bridge", metavar="BRIDGE", help="Its id or directory, instead of the current one."
    )(command)
