"""``doctor``: look at everything, say what is wrong, and what to do about it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import click

from agentbridged import paths as places_of
from agentbridged.ctl.daemon import ask, ask_as, json_option, show_json
from agentbridged.ctl.doctor import daemon, live, places, programs, service
from agentbridged.ctl.doctor.finding import Finding
from agentbridged.errors import AgentBridgeError

FAILED = 1
MARKS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL", "skipped": "-   "}
COLOURS = {"ok": "green", "warn": "yellow", "fail": "red", "skipped": "bright_black"}


@click.command()
@click.option("--live", "alive", is_flag=True, help="Also use each line once; sends no message.")
@json_option
def doctor(alive: bool, as_json: bool) -> None:
    """Look for what is wrong, each with its remedy; exit 1 if something fails."""
    if as_json:
        findings = list(_findings(alive))
        failed = any(finding.state == "fail" for finding in findings)
        show_json({"ok": not failed, "findings": findings})
    else:
        failed = _tell(_findings(alive))
    if failed:
        sys.exit(FAILED)


def _tell(findings: Iterator[Finding]) -> bool:
    """Print each as it is found; return whether one failed."""
    counted = {"ok": 0, "warn": 0, "fail": 0, "skipped": 0}
    for finding in findings:
        counted[finding.state] += 1
        mark = click.style(MARKS[finding.state], fg=COLOURS[finding.state])
        click.echo(f"{mark} {finding.name}: {finding.what}")
        if finding.remedy:
            click.echo(f"       → {finding.remedy}")
    wrong = [f"{counted[state]} {state}" for state in ("fail", "warn") if counted[state]]
    click.echo(", ".join(wrong) if wrong else "all is well")
    return counted["fail"] > 0


def _findings(alive: bool) -> Iterator[Finding]:
    paths = places_of.from_environment()
    answer = _status()
    runs = isinstance(answer, dict)
    status: dict[str, Any] = answer if isinstance(answer, dict) else {}
    yield from service.service()
    yield from daemon.daemon(answer)
    yield from places.runtime(paths, os.environ, daemon=runs)
    yield from places.state(paths, os.environ)
    yield from places.database(paths)
    yield from places.settings(paths, os.environ)
    yield from programs.codex(status, os.environ)
    yield from programs.claude(os.environ)
    yield from programs.plugin()
    yield from programs.permissions(os.environ)
    if runs:
        yield from _of_the_daemon(status)
    if alive:
        yield from live.live(paths, lambda: ask("status"))


def _of_the_daemon(status: dict[str, Any]) -> Iterator[Finding]:
    yield from daemon.store(status)
    yield from daemon.environment(status)
    yield from daemon.app_server(status)
    yield from daemon.proxy(status)
    yield from daemon.degraded(status)
    yield from daemon.sessions(status)


def _status() -> dict[str, Any] | AgentBridgeError:
    try:
        return ask_as(dict[str, Any], "status")
    except AgentBridgeError as error:
        return error
