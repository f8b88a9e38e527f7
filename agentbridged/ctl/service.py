"""
``service``: the daemon in the background, by systemd, by launchd, or by neither.

Which it is, this module finds out; what it means, ``agentbridged.service`` knows.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agentbridged import paths
from agentbridged.admin.client import AdminClient
from agentbridged.ctl import programs
from agentbridged.ctl.daemon import json_option, show_json
from agentbridged.errors import AgentBridgeError, Refused

if TYPE_CHECKING:
    from agentbridged.service.contract import Programs, Service, ServiceStatus

NOT_RUNNING = 3
LOOK_PATIENCE = 5.0
"""Seconds for the daemon's answer, each time it is looked for."""
LEFTOVERS_PATIENCE = 30


@click.group()
def service() -> None:
    """Run the daemon in the background, as a service of yours."""


@service.command()
@click.option("--linger", is_flag=True, help="Let it run from boot on, without a login (systemd).")
@json_option
def install(linger: bool, as_json: bool) -> None:
    """Install the service for you and start it at login; `service start` starts it now."""
    _tell("install", chosen().install(_programs(), linger=linger), as_json)


@service.command()
@json_option
def uninstall(as_json: bool) -> None:
    """Stop the service and remove it; messages and settings stay."""
    _tell("uninstall", chosen().uninstall(_programs()), as_json)


@service.command()
@json_option
def start(as_json: bool) -> None:
    """Start it, and wait until it serves."""
    _tell("start", chosen().start(_programs()), as_json)


@service.command()
@json_option
def stop(as_json: bool) -> None:
    """Stop it and its children, in order."""
    _tell("stop", chosen().stop(_programs()), as_json)


@service.command()
@json_option
def restart(as_json: bool) -> None:
    """
    Stop it and its children, and start it.

    This ends a turn under way. After an upgrade, `agentbridgectl reload` does not.
    """
    _tell("restart", chosen().restart(_programs()), as_json)


@service.command()
@json_option
def status(as_json: bool) -> None:
    """Show how the service is; exit 3 when it does not run."""
    found = chosen().status()
    if as_json:
        show_json(found)
    else:
        click.echo("\n".join(_lines(found)))
    if found.pid is None:
        sys.exit(NOT_RUNNING)


def _lines(found: ServiceStatus) -> list[str]:
    manager = "no service manager" if found.manager == "none" else found.manager
    pid = "" if found.pid is None else f", pid {found.pid}"
    lines = [f"{manager}: {found.state}{pid}"]
    if found.manager != "none":
        installed = f"installed as {found.file}" if found.installed else "not installed"
        lines.append(f"{installed}, {'started' if found.enabled else 'not started'} at login")
    if found.lingers:
        lines.append("it lingers: it runs from boot on, without a login")
    return lines + found.notes


def _tell(verb: str, notes: list[str], as_json: bool) -> None:
    if as_json:
        show_json({"done": verb, "notes": notes})
    else:
        click.echo("\n".join(notes))


def chosen() -> Service:
    """Return the way of running the daemon that this machine has."""
    where = paths.from_environment()
    if sys.platform == "darwin":
        from agentbridged.service.launchd import Launchd

        return Launchd(where, Path.home(), _login_path, _serves, _end_leftovers)
    from agentbridged.service import systemd

    if systemd.is_here():
        home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
        return systemd.Systemd(where, Path(home), _end_leftovers)
    from agentbridged.service.plain import Plain

    return Plain(where, _serves, _end_leftovers)


def _programs() -> Programs:
    from agentbridged.service.contract import Programs

    return Programs(
        daemon=tuple(programs.command("agentbridged", "agentbridged")),
        ctl=tuple(programs.command("agentbridgectl", "agentbridged.ctl")),
    )


def _serves() -> bool:
    with (
        contextlib.suppress(AgentBridgeError),
        AdminClient(paths.from_environment().admin_socket, LOOK_PATIENCE) as client,
    ):
        return bool(client.call_as(dict[str, Any], "status")["state"] == "running")
    return False


def _end_leftovers(ours: Programs) -> None:
    try:
        subprocess.run([*ours.daemon, "--after-stop"], check=True, timeout=LEFTOVERS_PATIENCE)
    except (OSError, subprocess.SubprocessError) as error:
        raise Refused(f"what the daemon left could not be ended: {error}") from error


def _login_path() -> str:
    """Return the PATH that the login shell sets: a LaunchAgent has next to none."""
    import asyncio

    from agentbridged.children.environment import LoginEnvironment

    return asyncio.run(LoginEnvironment().get()).get("PATH", os.defpath)
