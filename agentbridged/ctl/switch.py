"""``kill``, ``revive``, ``pause``, ``resume`` and ``seat``: a person's hand on a bridge."""

from __future__ import annotations

import click

from agentbridged.ctl.daemon import ask_as, bridge_argument, json_option, place, show_json
from agentbridged.wire import admin


def _switch(name: str, help: str, done: str) -> click.Command:
    @click.command(name, help=help)
    @bridge_argument
    @click.option("--all", "every", is_flag=True, help="Every bridge.")
    @click.option("--reason", default="", help="Kept, and shown to whoever asks why.")
    @json_option
    def command(bridge: str | None, every: bool, reason: str, as_json: bool) -> None:
        if every and bridge is not None:
            raise click.UsageError("Give a BRIDGE or --all, not both.")
        where = {"all": True} if every else place(bridge)
        params = {**where, "reason": reason}
        answer = ask_as(admin.SwitchedBridges, f"bridge.{name}", params)
        if as_json:
            show_json(answer)
            return
        for row in answer.bridges:
            click.echo(f"{row.id} is {row.state}{done.format(row.id)}")
        if not answer.bridges:
            click.echo("there are no bridges")

    return command


kill = _switch(
    "kill",
    "Switch a bridge off; it stays off, also across restarts, until `revive`.",
    "; `agentbridgectl revive {}` switches it on again",
)
revive = _switch("revive", "Switch a killed bridge on again.", "")
pause = _switch(
    "pause",
    "Let a bridge rest: sends are refused, answers are kept and delivered on `resume`.",
    "; `agentbridgectl resume {}` lets it go on",
)
resume = _switch("resume", "Let a paused bridge go on.", "")


@click.group()
def seat() -> None:
    """The seat of a bridge's one Claude session."""


@seat.command()
@bridge_argument
@json_option
def release(bridge: str | None, as_json: bool) -> None:
    """Take the seat from the session that holds it, so that another can attach."""
    answer = ask_as(admin.Released, "seat.release", place(bridge))
    if as_json:
        show_json(answer)
    elif answer.released:
        click.echo(f"the seat of {answer.bridge} is free")
    else:
        click.echo(f"nobody held the seat of {answer.bridge}")
