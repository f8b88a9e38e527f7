"""``approvals``: what Codex waits for a person to allow, and a person's word on it."""

from __future__ import annotations

import click

from agentbridged.ctl import render
from agentbridged.ctl.daemon import ask_as, bridge_option, json_option, place, show_json
from agentbridged.wire import admin


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def approvals(context: click.Context, as_json: bool) -> None:
    """What Codex waits for you to allow; without a command, the list."""
    if context.invoked_subcommand is None:
        context.invoke(list_, as_json=as_json)


@approvals.command("list")
@bridge_option
@click.option("--all", "every", is_flag=True, help="Also what is settled: the latest of all.")
@json_option
def list_(bridge: str | None = None, every: bool = False, as_json: bool = False) -> None:
    """List what is open, on every bridge unless one is named."""
    where = {} if bridge is None else place(bridge)
    answer = ask_as(admin.Approvals, "approval.list", {**where, "all": every})
    if as_json:
        show_json(answer)
    elif not answer.approvals:
        click.echo("Codex waits for no approval")
    for row in [] if as_json else answer.approvals:
        click.echo(render.approval(row))


def _answering(name: str, help: str) -> click.Command:
    @click.command(name, help=help)
    @click.argument("id")
    @json_option
    def command(id: str, as_json: bool) -> None:
        answer = ask_as(admin.Approval, "approval.answer", {"id": id, "decision": name})
        if as_json:
            show_json(answer)
        else:
            click.echo(render.approval(answer))

    return command


approvals.add_command(_answering("allow", "Let Codex do it, this once."))
approvals.add_command(_answering("deny", "Do not let Codex do it; its turn goes on."))
