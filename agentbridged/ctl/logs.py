"""``logs``: what the daemon wrote down."""

from __future__ import annotations

import os

import click

from agentbridged import paths
from agentbridged.errors import AgentBridgeError


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with new lines until Ctrl-C.")
@click.option(
    "-n", "lines", type=click.IntRange(min=0), default=50, show_default=True, help="How many lines."
)
def logs(follow: bool, lines: int) -> None:
    """Show the end of the daemon's log."""
    log_file = paths.from_environment().log_file
    if not log_file.exists():
        raise AgentBridgeError(
            f"there is no log yet ({log_file}); the daemon writes it when it has run once"
        )
    # tail waits for the file's news, and for its successor, better than we could.
    arguments = ["tail", "-n", str(lines), *(["-F"] if follow else []), "--", str(log_file)]
    try:
        os.execvp("tail", arguments)
    except OSError as error:
        raise AgentBridgeError(f"cannot run tail: {error.strerror}; read {log_file}") from error
