"""The two programs that are bridged: where they are, which versions, what they let us do."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentbridged import __version__
from agentbridged.children.environment import find_program
from agentbridged.ctl import plugin as plugins
from agentbridged.ctl.doctor.finding import Finding, Findings, shown, table
from agentbridged.errors import AgentBridgeError, Unavailable
from agentbridged.wire import claude as wire_claude
from agentbridged.wire import codex as wire_codex

PATIENCE = 20
"""Seconds a program may take to say its version."""


def codex(status: Mapping[str, Any], environment: Mapping[str, str]) -> list[Finding]:
    """Say which Codex is found, by the daemon and here."""
    found = Findings("codex", "Codex")
    daemons = table(status, "environment").get("codex")
    here = _find("codex", "AGENTBRIDGE_CODEX", environment)
    if status and not daemons and "environment" in status:
        found.fail(
            "the daemon does not find Codex",
            "install it, or set AGENTBRIDGE_CODEX for the daemon; then `agentbridgectl reload`",
        )
    if here is None:
        text = "it is not found"
        if daemons:
            found.ok(f"{text}; the daemon has {daemons}")
        else:
            found.fail(text, "install Codex, or set AGENTBRIDGE_CODEX to its program")
        return found.all
    _version(found, str(daemons or here), wire_codex.MEASURED, oldest=None, environment=environment)
    return found.all


def claude(environment: Mapping[str, str]) -> list[Finding]:
    """Say which Claude Code is found."""
    found = Findings("claude", "Claude Code")
    here = _find("claude", "AGENTBRIDGE_CLAUDE", environment)
    if here is None:
        remedy = "install Claude Code, or set AGENTBRIDGE_CLAUDE to its program"
        found.fail("it is not found", remedy)
    else:
        _version(
            found,
            here,
            wire_claude.MEASURED,
            oldest=wire_claude.INBOX_SINCE,
            environment=environment,
        )
    return found.all


def _find(name: str, variable: str, environment: Mapping[str, str]) -> str | None:
    named = environment.get(variable)
    home = Path(environment.get("HOME") or Path.home())
    return find_program(name, named, environment.get("PATH"), home)


def _version(
    found: Findings,
    program: str,
    measured: str,
    *,
    oldest: tuple[int, ...] | None,
    environment: Mapping[str, str],
) -> None:
    where = shown(Path(program), environment)
    try:
        done = subprocess.run(
            [program, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = error.strerror if isinstance(error, OSError) else f"no answer in {PATIENCE} s"
        found.fail(f"{where} --version: {reason}", "install it again")
        return
    said = re.search(r"\d+\.\d+\.\d+\S*", done.stdout.decode(errors="replace"))
    if said is None or done.returncode:
        found.fail(f"{where} does not tell its version", "install it again")
        return
    version = said[0]
    if oldest is not None and _numbers(version) < oldest:
        needed = ".".join(map(str, oldest))
        found.fail(f"{version} ({where}) is too old: {needed} is needed", "update it")
    elif _numbers(version) < _numbers(measured):
        text = f"{version} ({where}) is older than the one we were measured with, {measured}"
        found.warn(text, "update it")
    elif _numbers(version) > _numbers(measured):
        found.ok(f"{version} ({where}), newer than the one we were measured with, {measured}")
    else:
        found.ok(f"{version} ({where})")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def plugin() -> list[Finding]:
    """Ask Claude Code for the plugin."""
    found = Findings("plugin", "plugin")
    try:
        wrong = plugins.problems()
    except Unavailable:
        found.skipped("there is no Claude Code to ask")
    except AgentBridgeError as error:
        found.fail(str(error), "`claude plugin list` may say more")
    else:
        for number, problem in enumerate(wrong, 1):
            found.fail(
                problem, "`agentbridgectl plugin install`, then restart Claude Code", of=str(number)
            )
        if not wrong:
            found.ok(f"{__version__}, installed and enabled")
    return found.all


def permissions(environment: Mapping[str, str]) -> list[Finding]:
    """Look at what the two programs keep on disk, as far as a bridge needs it."""
    found = Findings("permissions", "permissions")
    home = Path(environment.get("HOME") or Path.home())
    settings = Path(environment.get("CLAUDE_CONFIG_DIR") or home / ".claude") / "settings.json"
    try:
        json.loads(settings.read_text(encoding="utf-8"))
    except FileNotFoundError:
        found.ok("Claude Code has no settings yet", of="claude")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not JSON"
        where = shown(settings, environment)
        found.fail(
            f"{where}: {reason}", "mend it: Claude Code needs it for the plugin", of="claude"
        )
    else:
        found.ok(f"{shown(settings, environment)} can be read", of="claude")
    folder = Path(environment.get("CODEX_HOME") or home / ".codex")
    where = shown(folder, environment)
    if not folder.exists():
        found.ok(f"{where} is not there yet; Codex makes it", of="codex")
    elif not os.access(folder, os.W_OK | os.X_OK):
        found.fail(f"{where} cannot be written", "make it yours, or set CODEX_HOME", of="codex")
    else:
        found.ok(f"{where} can be written", of="codex")
    return found.all
