"""``logs``: what the daemon and its children wrote down."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import click

from agentbridged import paths
from agentbridged.ctl.daemon import ask_as
from agentbridged.errors import AgentBridgeError


@click.command()
@click.argument("of", type=click.Choice(["daemon", *paths.CHILDREN]), default="daemon")
@click.option("-f", "--follow", is_flag=True, help="Go on with new lines until Ctrl-C.")
@click.option(
    "-n", "lines", type=click.IntRange(min=0), default=50, show_default=True, help="How many lines."
)
def logs(of: str, follow: bool, lines: int) -> None:
    """
    Show the end of the daemon's log, or of what the proxy or Codex's app-server printed.

    The last is there only where agentbridge runs the app-server.
    """
    places = paths.from_environment()
    log_file = places.log_file if of == "daemon" else places.child_log(of)
    if not log_file.exists():
        if of == "app-server" and _is_joined():
            raise AgentBridgeError(
                "there is no log: the app-server is another program's, which we have joined; "
                "what it prints goes where that program was started"
            )
        raise AgentBridgeError(
            f"there is no log yet ({log_file}); it is written when the {of} has run once"
        )
    # tail waits for the file's news, and for its successor, better than we could.
    arguments = ["tail", "-n", str(lines), *(["-F"] if follow else []), "--", str(log_file)]
    try:
        os.execvp("tail", arguments)
    except OSError as error:
        raise AgentBridgeError(f"cannot run tail: {error.strerror}; read {log_file}") from error


def _is_joined() -> bool:
    """Whether the daemon says that the app-server is not ours."""
    with contextlib.suppress(AgentBridgeError):
        return ask_as(dict[str, Any], "status")["app_server"]["managed"] is False
    return False
