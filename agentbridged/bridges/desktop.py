"""
Desktop notices: what a person should know of without looking at a terminal.

Codex waits for their approval or answer, the governor paused a bridge, a child was given up. Each
is told once, those that come close together in one notice, by ``notify-send`` (Linux) or
``osascript`` (macOS). Where neither is, or no desktop, nothing happens.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from agentbridged.bridges import words
from agentbridged.bridges.registry import Bridges
from agentbridged.children.environment import scrubbed
from agentbridged.config import Config
from agentbridged.machines import governor

log = logging.getLogger(__name__)

EVERY = 30.0
"""Seconds between two notices; what comes meanwhile is gathered."""
PATIENCE = 5.0
"""Seconds the program has: without a desktop some wait for one."""
LINES = 5
"""Things told in one notice; of more, how many."""

Show = Callable[[Sequence[str]], Awaitable[None]]


class Desktop:
    """Listens to the news of all bridges, and shows what needs a person."""

    def __init__(self, bridges: Bridges, config: Callable[[], Config], show: Show) -> None:
        self._bridges, self._config, self._show = bridges, config, show
        self._states: dict[str, str] = {}
        """The children's, as last heard."""
        self._waiting: dict[tuple[str, object], str] = {}
        """What is to be shown, by what it is about."""
        self._news = asyncio.Event()
        bridges.subscribe(self.heard)

    def heard(self, kind: str, facts: dict[str, Any]) -> None:
        """Something happened; most of it is no business of the desktop."""
        about = (kind, facts.get("id") or facts.get("bridge") or facts.get("name"))
        if kind == "child" and self._states.get(facts["name"]) == facts["state"]:
            return  # other news of it
        line = self._line(kind, facts)
        if not line:
            self._waiting.pop(about, None)  # settled before it was shown
        elif self._is_wanted(facts.get("bridge")):
            self._waiting[about] = line
            self._news.set()

    def _line(self, kind: str, facts: Mapping[str, Any]) -> str:
        match kind, facts:
            case "approval", {"state": "pending", "bridge": bridge}:
                return words.desktop_asks(self._bridges[bridge].root_path)
            case "bridge", {"state": "paused", "by": governor.BY, "bridge": bridge}:
                return words.desktop_paused(self._bridges[bridge].root_path, str(facts["reason"]))
            case "child", {"name": str(name), "state": str(state)}:
                self._states[name] = state
                return words.desktop_given_up(name) if state == "FATAL" else ""
            case _:
                return ""

    def _is_wanted(self, bridge: str | None) -> bool:
        config = self._config()
        settings = config if bridge is None else config.of(self._bridges[bridge].root)
        return settings.notify.desktop

    async def run(self) -> None:
        """Show what is heard, for ever."""
        while True:
            await self._news.wait()
            self._news.clear()
            told = list(dict.fromkeys(self._waiting.values()))
            self._waiting.clear()
            if not told:
                continue
            if len(told) > LINES:
                told[LINES - 1 :] = [f"… and {len(told) - LINES + 1} more: `agentbridgectl status`"]
            await self._show(told)
            await asyncio.sleep(EVERY)  # what comes meanwhile is shown together, after it


def program(environment: Mapping[str, str]) -> Show:
    """Return what shows lines by the desktop's own program, looked for each time."""
    inherited = scrubbed(environment)

    async def show(lines: Sequence[str]) -> None:
        command = _command(environment.get("PATH", ""), lines)
        if command is not None:
            await _run(command, inherited)

    return show


def _command(path: str, lines: Sequence[str]) -> list[str] | None:
    body = "\n".join("".join(c if c.isprintable() else " " for c in line) for line in lines)
    if found := shutil.which("notify-send", path=path):
        # A notification's body is markup (Desktop Notifications Specification 1.2).
        marked = body.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return [found, "--app-name=agentbridge", "--", "agentbridge", marked]
    if found := shutil.which("osascript", path=path):
        script = 'on run argv\ndisplay notification (item 1 of argv) with title "agentbridge"\nend'
        return [found, "-e", script, body]
    return None


async def _run(command: list[str], environment: Mapping[str, str]) -> None:
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError as error:
        log.debug("no desktop notice: %s", error)
        return
    ended = asyncio.ensure_future(process.wait())
    try:
        # wait() and not timeout(): before Python 3.11.3 the latter fails in a cancelled task.
        await asyncio.wait({ended}, timeout=PATIENCE)
    finally:
        if process.returncode is None:
            process.kill()
        await ended
