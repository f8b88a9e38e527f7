"""
``agentbridgectl plugin``: put the plugin into Claude Code, and tell whether it fits.

Claude Code's own ``claude plugin`` commands do the work (measured, 2.1.330: adding a marketplace
again re-points it, installing again enables, updating records the new version), so doing it twice
does no harm.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import click

from agentbridged import __version__
from agentbridged.ctl import plugin_files, programs
from agentbridged.ctl.plugin_files import NAME, PROGRAM
from agentbridged.errors import Refused, Unavailable
from agentbridged.paths import from_environment, make_private

PLUGIN = f"{NAME}@{NAME}"
PATIENCE = 60
"""Seconds one command of Claude Code's may take."""

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def plugin() -> None:
    """The Claude Code plugin: its tools and its MCP server."""


@plugin.command()
@as_json
def path(as_json: bool) -> None:
    """Print the plugin's marketplace directory, as `claude plugin marketplace add` takes it."""
    directory = _stage()
    _print({"path": str(directory), "version": __version__}, str(directory), as_json)


@plugin.command()
@as_json
def install(as_json: bool) -> None:
    """Install the plugin into Claude Code, or bring an installed one up to date; enable it."""
    directory = _stage()
    _claude("plugin", "marketplace", "add", str(directory))
    _claude("plugin", "install", PLUGIN)
    if (_installed() or {}).get("version") != __version__:
        _claude("plugin", "update", PLUGIN)
    if wrong := _problems(directory):
        raise Refused(f"installed, but {'; '.join(wrong)}")
    answer = {"plugin": PLUGIN, "version": __version__, "path": str(directory), "enabled": True}
    text = (
        f"{PLUGIN} {__version__} is installed and enabled; Claude Code loads it at its next start"
    )
    _print(answer, text, as_json)


@plugin.command()
@as_json
def verify(as_json: bool) -> None:
    """Tell whether the installed plugin is this version's; exit 1 if it is not."""
    installed = _installed()
    wrong = problems()
    answer = {
        "ok": not wrong,
        "version": __version__,
        "installed": (installed or {}).get("version"),
        "problems": wrong,
    }
    lines = [f"plugin: {problem}" for problem in wrong]
    remedy = [*lines, "`agentbridgectl plugin install` mends this"]
    good = f"{PLUGIN} {__version__} is installed and enabled"
    _print(answer, "\n".join(remedy) if wrong else good, as_json)
    if wrong:
        sys.exit(1)


def command() -> list[str]:
    """Find the command that Claude Code shall start, by an absolute path."""
    return programs.command(PROGRAM, "agentbridged.mcp.shim")


def problems() -> list[str]:
    """Say what is wrong with the plugin as installed; raises what asking Claude Code raises."""
    return _problems(from_environment().plugin)


def _stage() -> Path:
    """Render the plugin into the state directory; returns its marketplace directory."""
    paths = from_environment()
    make_private(paths.state, "AGENTBRIDGE_STATE_DIR")
    plugin_files.write(paths.plugin, plugin_files.contents(command()))
    return paths.plugin


def _installed() -> dict[str, Any] | None:
    """Return what Claude Code knows of the plugin, or :obj:`None` when it has none."""
    printed = _claude("plugin", "list", "--json")
    try:
        listed = json.loads(printed)
    except ValueError as error:
        raise Refused(
            "Claude Code does not list its plugins as JSON; is it older than 2.1?"
        ) from error
    ours = (row for row in listed if isinstance(row, dict) and row.get("id") == PLUGIN)
    return next(ours, None)


def _problems(directory: Path) -> list[str]:
    """Say what is wrong with the installed plugin; an empty list when nothing is."""
    installed = _installed()
    if installed is None:
        return ["it is not installed"]
    versions = {installed.get("version"), installed.get("folderVersion", __version__)}
    wrong = [
        f"version {version} is installed, this is {__version__}"
        for version in sorted(map(str, versions))
        if version != __version__
    ]
    if not installed.get("enabled"):
        wrong.append("it is disabled")
    folder = installed.get("readFromFolder")
    if folder and Path(folder).resolve().parent != directory.resolve():
        wrong.append(f"it is read from {folder}, not from {directory}")
    return wrong + plugin_files.differences(directory, plugin_files.contents(command()))


def _claude(*arguments: str) -> str:
    """Run a command of Claude Code's and return what it prints; a failure is the person's."""
    import subprocess

    program = os.environ.get("AGENTBRIDGE_CLAUDE") or shutil.which("claude")
    if not program:
        raise Unavailable(
            "Claude Code is not on PATH; install it, or set AGENTBRIDGE_CLAUDE to its program"
        )
    shown = f"`claude {' '.join(arguments)}`"
    try:
        done = subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=PATIENCE,
            check=False,
        )
    except OSError as error:
        raise Refused(f"cannot run {program}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise Refused(f"{shown} did not end within {PATIENCE} s") from error
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise Refused(f"{shown} failed: {' '.join(last) or done.returncode}")
    return done.stdout


def _print(answer: dict[str, Any], text: str, as_json: bool) -> None:
    click.echo(json.dumps(answer) if as_json else text)
