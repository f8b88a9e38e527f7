"""``status`` and ``bridges``: how things are."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from agentbridged.ctl import render
from agentbridged.ctl.daemon import ask, json_option, show_json


@click.command()
@json_option
def status(as_json: bool) -> None:
    """Show the daemon, its children, and both sides of every bridge."""
    answer = ask("status")
    if as_json:
        show_json(answer)
    else:
        click.echo(render.status(msgspec.json.decode(answer, type=dict[str, Any])))


@click.command()
@json_option
def bridges(as_json: bool) -> None:
    """List the bridges."""
    answer = ask("bridge.list")
    if as_json:
        show_json(answer)
    else:
        rows = msgspec.json.decode(answer, type=dict[str, list[dict[str, Any]]])["bridges"]
        click.echo(render.bridges(rows))
