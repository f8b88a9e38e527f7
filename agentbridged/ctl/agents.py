"""``codex`` and ``claude``: start the real programs as a person would, bridged."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click

from agentbridged import paths
from agentbridged.ctl.daemon import client, here
from agentbridged.errors import AgentBridgeError

PLUGIN = "agentbridge"

PROXY_PATIENCE = 5.0
"""Seconds to wait for the proxy of a daemon that is just starting."""

WITH_TUI = frozenset({"resume", "fork", "agents"})
"""Subcommands of Codex that open its TUI (measured, 0.169.0)."""

WITHOUT_TUI = frozenset(
    [
        "a",
        "app",
        "app-server",
        "apply",
        "archive",
        "cloud",
        "completion",
        "debug",
        "delete",
        "doctor",
        "e",
        "exec",
        "exec-server",
        "execpolicy",
        "features",
        "help",
        "login",
        "logout",
        "mcp",
        "mcp-server",
        "migrate-nfs-db",
        "migrate-rollouts",
        "plugin",
        "queue",
        "remote-control",
        "review",
        "sandbox",
        "unarchive",
        "update",
    ]
)
"""Its other subcommands: they take no TUI's server, so we add nothing."""

TAKES_VALUE = frozenset(
    [
        "-c",
        "--config",
        "--enable",
        "--disable",
        "--remote",
        "--remote-auth-token-env",
        "-i",
        "--image",
        "-m",
        "--model",
        "--local-provider",
        "-p",
        "--profile",
        "-s",
        "--sandbox",
        "-C",
        "--cd",
        "--add-dir",
        "-a",
        "--ask-for-approval",
    ]
)
"""Options of Codex whose next argument is their value, and so no subcommand."""

PASS_ON = {
    "ignore_unknown_options": True,
    "allow_interspersed_args": False,
    "help_option_names": [],
}


@click.command(context_settings=PASS_ON)
@click.argument("arguments", metavar="[ARGS]...", nargs=-1, type=click.UNPROCESSED)
def codex(arguments: tuple[str, ...]) -> None:
    """Start Codex through the bridge's proxy; ARGS are Codex's own."""
    program = _program("codex", "AGENTBRIDGE_CODEX")
    added = arguments_for_codex(arguments, str(paths.from_environment().codex_socket), here())
    if added != list(arguments):
        _check_proxy()
    _become(program, added)


def arguments_for_codex(given: Sequence[str], socket: str, cwd: str) -> list[str]:
    """
    Return Codex's arguments with the proxy's address and the directory put where it wants them.

    Nothing is added for subcommands without a TUI, nor when the person chose a server himself.
    """
    at = _subcommand(given)
    name = given[at] if at is not None else None
    options = given[: given.index("--")] if "--" in given else given
    own_server = any(a in ("--no-daemon", "--remote") or a.startswith("--remote=") for a in options)
    informational = any(a in ("-h", "--help", "-V", "--version") for a in options)
    if name in WITHOUT_TUI or own_server or informational:
        return list(given)
    added = ["--remote", f"unix://{socket}"]
    if not any(a in ("-C", "--cd") or a.startswith(("-C", "--cd=")) for a in options):
        added += ["-C", cwd]
    where = at + 1 if at is not None and name in WITH_TUI else 0
    return [*given[:where], *added, *given[where:]]


def _subcommand(given: Sequence[str]) -> int | None:
    """Return the place of the first argument that is neither an option nor an option's value."""
    value = False
    for place, argument in enumerate(given):
        if value:
            value = False
        elif argument == "--":
            return None
        elif argument in TAKES_VALUE:
            value = True
        elif not argument.startswith("-"):
            return place
    return None


def _check_proxy() -> None:
    """Wait for the proxy, which the daemon keeps; say it ourselves when it does not come."""
    socket = paths.from_environment().codex_socket
    deadline = time.monotonic() + PROXY_PATIENCE
    never = threading.Event()
    with client():  # without a daemon there is none
        while not socket.exists():
            if time.monotonic() > deadline:
                raise AgentBridgeError(
                    f"the Codex proxy is not up ({socket} is missing); see `agentbridgectl status`"
                )
            never.wait(0.1)


@click.command(context_settings=PASS_ON)
@click.argument("arguments", metavar="[ARGS]...", nargs=-1, type=click.UNPROCESSED)
def claude(arguments: tuple[str, ...]) -> None:
    """Start Claude Code; ARGS are its own."""
    program = _program("claude", "AGENTBRIDGE_CLAUDE")
    if not any(a.startswith("--plugin-dir") for a in arguments) and not plugin_enabled():
        click.echo(
            "agentbridgectl: Claude Code does not have the agentbridge plugin, so this session "
            "is not bridged; `agentbridgectl plugin install` adds it",
            err=True,
        )
    _become(program, list(arguments))


def plugin_enabled() -> bool:
    """Whether Claude Code's settings, the user's or the project's, enable our plugin."""
    home = Path(os.environ.get("CLAUDE_CONFIG_DIR") or Path.home() / ".claude")
    project = Path(here()) / ".claude"
    files = (
        *(home / "settings.json", home / "settings.local.json"),
        *(project / "settings.json", project / "settings.local.json"),
    )
    return any(_enables(file) for file in files)


def _enables(settings: Path) -> bool:
    try:
        enabled = json.loads(settings.read_text(encoding="utf-8")).get("enabledPlugins", {})
        return any(name.partition("@")[0] == PLUGIN and on for name, on in enabled.items())
    except (OSError, ValueError, AttributeError):
        return False


def _program(name: str, variable: str) -> str:
    if chosen := os.environ.get(variable):
        if not os.access(chosen, os.X_OK):
            raise AgentBridgeError(f"{variable} names {chosen}, which is no program; correct it")
        return chosen
    found = shutil.which(name)
    if found is None:
        raise AgentBridgeError(f"{name} is not on PATH; install it, or set {variable} to its path")
    return found


def _become(program: str, arguments: list[str]) -> NoReturn:
    try:
        os.execv(program, [program, *arguments])
    except OSError as error:
        raise AgentBridgeError(f"cannot run {program}: {error.strerror}") from error
