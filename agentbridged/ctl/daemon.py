"""How a command reaches the daemon, and which bridge it means."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec
from msgspec import Raw

from agentbridged import paths
from agentbridged.admin.client import AdminClient
from agentbridged.errors import AgentBridgeError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

TAB_PATIENCE = 1.0
"""Seconds a person who pressed Tab waits for the daemon."""

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
        "--bridge",
        metavar="BRIDGE",
        help="Its id or directory, instead of the current one.",
        shell_complete=bridge_ids,
    )(command)


def bridge_argument(command: F) -> F:
    """Add ``BRIDGE``, which may be left out."""
    return click.argument("bridge", required=False, shell_complete=bridge_ids)(command)


def bridge_ids(
    context: click.Context, parameter: click.Parameter, begun: str
) -> list[CompletionItem]:
    """Offer a shell the bridges that begin so; none when the daemon does not tell at once."""
    from click.shell_completion import CompletionItem

    from agentbridged.wire import admin

    rows: list[dict[str, Any]] = []
    with (
        contextlib.suppress(AgentBridgeError),
        AdminClient(paths.from_environment().admin_socket, TAB_PATIENCE) as connection,
    ):
        rows = connection.call_as(admin.BridgeList, "bridge.list").bridges
    ids = ((str(row["id"]), str(row["root"])) for row in rows)
    return [CompletionItem(id, help=root) for id, root in ids if id.startswith(begun)]
