"""``watch``: news of the bridges as they happen, a line each."""

from __future__ import annotations

import datetime
from typing import Any

import click
import msgspec

from agentbridged.ctl import render
from agentbridged.ctl.daemon import bridge_ids, client, json_option, place
from agentbridged.wire.jsonrpc import Notification


@click.command()
@click.option(
    "--bridge", metavar="BRIDGE", help="News of this bridge only.", shell_complete=bridge_ids
)
@json_option
def watch(bridge: str | None, as_json: bool) -> None:
    """Print what happens on the bridges until you press Ctrl-C."""
    with client() as connection:
        connection.call("events.subscribe", {} if bridge is None else place(bridge))
        for news in connection.news():
            click.echo(_as_json(news) if as_json else _line(news))


def _as_json(news: Notification) -> bytes:
    return msgspec.json.encode({"event": news.method, "params": news.params})


def _line(news: Notification) -> str:
    facts = msgspec.json.decode(news.params, type=dict[str, Any])
    words = [f"{name}={_value(value)}" for name, value in facts.items() if value is not None]
    now = datetime.datetime.now().astimezone()
    return " ".join([f"{now:%H:%M:%S}", render.plain(news.method), *words])


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return render.plain(text).replace("\n", "⏎").replace("\t", " ")
