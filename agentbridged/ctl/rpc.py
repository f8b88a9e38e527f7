"""``rpc`` and ``reload``: a verb of the admin API, plain."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from agentbridged.ctl.daemon import ask, ask_as, json_option, show_json


@click.command()
@click.argument("method")
@click.argument("params", metavar="[JSON]", required=False)
def rpc(method: str, params: str | None) -> None:
    """Call a verb of the admin API with JSON params, and print the JSON answer."""
    try:
        decoded = msgspec.json.decode(params or "{}", type=dict)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise click.UsageError(f"JSON: expected an object of params ({error}).") from error
    show_json(ask(method, decoded))


@click.command()
@json_option
def reload(as_json: bool) -> None:
    """
    Let the daemon read its configuration again.

    After an upgrade it hands over to what is installed now, and nobody's session ends.
    """
    answer = ask_as(dict[str, Any], "config.reload")
    if as_json:
        show_json(answer)
    else:
        click.echo("the configuration was read again")
        if answer.get("restarting"):
            click.echo("another version is installed by now: the daemon restarts as that one")
