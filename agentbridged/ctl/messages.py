"""``send``, ``history``, ``search`` and ``explain``: what is said across a bridge."""

from __future__ import annotations

import sys

import click

from agentbridged.ctl import render
from agentbridged.ctl.daemon import ask_as, bridge_option, json_option, place, show_json
from agentbridged.wire import admin
from agentbridged.wire.claude import TEXT_LIMIT

LIMIT = click.IntRange(1, 1000)


@click.command()
@click.argument("text", nargs=-1, required=True)
@click.option("--to", type=click.Choice(["codex", "claude"]), default="codex", show_default=True)
@click.option(
    "--when-busy",
    type=click.Choice(["queue", "steer", "interrupt"]),
    default="queue",
    show_default=True,
    help="What to do while Codex works: wait, join its turn (cuts what it is saying), or stop it.",
)
@click.option("--key", help="Send once: the same key again returns the first message.")
@click.option("--start-thread", is_flag=True, help="Start a Codex thread if there is none.")
@bridge_option
@json_option
def send(
    text: tuple[str, ...],
    to: str,
    when_busy: str,
    key: str | None,
    start_thread: bool,
    bridge: str | None,
    as_json: bool,
) -> None:
    """Send TEXT to Codex, or to Claude; `-` reads it from the standard input."""
    params = {"text": _text(text), "to": to, "when_busy": when_busy, "start_thread": start_thread}
    if key is not None:
        params["idempotency_key"] = key
    answer = ask_as(admin.Sent, "message.send", params | place(bridge))
    if as_json:
        show_json(answer)
    else:
        click.echo(f"{answer.id} {render.plain(answer.note)}".rstrip())


def _text(words: tuple[str, ...]) -> str:
    try:
        if words == ("-",):
            text = sys.stdin.buffer.read().decode() if sys.stdin is not None else ""
        else:
            text = " ".join(words)
            text.encode()
    except UnicodeError as error:
        raise click.UsageError("TEXT is not UTF-8.") from error
    if not text.strip():
        raise click.UsageError("TEXT is empty.")
    if len(text) > TEXT_LIMIT:
        raise click.UsageError(f"TEXT has {len(text)} characters; at most {TEXT_LIMIT} can cross.")
    return text


@click.command()
@click.option("-n", "limit", type=LIMIT, default=20, show_default=True, help="How many.")
@click.option("--all", "every", is_flag=True, help="Of every bridge.")
@bridge_option
@json_option
def history(limit: int, every: bool, bridge: str | None, as_json: bool) -> None:
    """Show the latest messages of both directions, the newest last."""
    params = {"limit": limit} | _scope(every, bridge)
    _show(ask_as(admin.Messages, "message.list", params), as_json, "no messages yet")


@click.command()
@click.argument("query", nargs=-1, required=True)
@click.option("-n", "limit", type=LIMIT, default=20, show_default=True, help="How many.")
@click.option("--all", "every", is_flag=True, help="In every bridge.")
@bridge_option
@json_option
def search(
    query: tuple[str, ...], limit: int, every: bool, bridge: str | None, as_json: bool
) -> None:
    """Find messages that hold every word of QUERY; `word*` matches a beginning."""
    params = {"query": " ".join(query), "limit": limit} | _scope(every, bridge)
    _show(ask_as(admin.Messages, "message.search", params), as_json, "nothing found")


def _scope(every: bool, bridge: str | None) -> dict[str, str]:
    if every and bridge is not None:
        raise click.UsageError("Give --bridge or --all, not both.")
    return {} if every else place(bridge)


def _show(answer: admin.Messages, as_json: bool, nothing: str) -> None:
    if as_json:
        show_json(answer)
        return
    click.echo("\n".join(map(render.message, answer.messages)) or nothing)
    if answer.truncated:
        click.echo("older ones are left out: they are too long to show at once", err=True)


@click.command()
@click.argument("id")
@json_option
def explain(id: str, as_json: bool) -> None:
    """Tell the whole story of a message: who said it, what was tried, where it is now."""
    answer = ask_as(admin.Explained, "message.explain", {"id": id})
    if as_json:
        show_json(answer)
    else:
        click.echo(render.message(answer.message))
        click.echo()
        click.echo(render.plain(answer.story))
