"""
The living line, tried: what an agent or a terminal would use is used once.

Nobody is disturbed: no message is sent, no thread is opened, no model is asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agentbridged import __version__
from agentbridged.ctl.doctor.finding import Finding, Findings
from agentbridged.paths import Paths
from agentbridged.wire import codex, jsonrpc

PATIENCE = 10.0
"""Seconds for each step; a healthy line answers in milliseconds."""


def live(paths: Paths, ask: Callable[[], object]) -> list[Finding]:
    """Try the three doors; *ask* is a question to the daemon."""
    found = Findings("live", "live")
    _try(found, "daemon", "the daemon answered", ask)
    _try(found, "claude", "a session could connect", lambda: _shake(paths.claude_socket))
    _try(
        found,
        "codex",
        "a terminal reached the app-server through the proxy",
        lambda: _threads(paths.codex_socket),
    )
    found.skipped(
        "a message was not sent, as a model would have to answer it: "
        "`agentbridgectl send` in a project does that",
        of="message",
    )
    return found.all


def _try(found: Findings, of: str, what: str, step: Callable[[], object]) -> None:
    began = time.monotonic()
    try:
        step()
    except Exception as error:  # whatever a library says of a broken line, it is one
        reason = str(error) or type(error).__name__
        found.fail(f"not so: {what} ({reason})", "see `agentbridgectl status` and `logs`", of=of)
    else:
        found.ok(f"{what}, in {(time.monotonic() - began) * 1000:.0f} ms", of=of)


def _shake(path: Path) -> None:
    with _connect(path):
        pass


def _connect(path: Path) -> Any:
    from websockets.sync.client import unix_connect

    return unix_connect(
        str(path),
        uri="ws://localhost/rpc",
        compression=None,
        max_size=None,
        open_timeout=PATIENCE,
        close_timeout=1,
    )


def _threads(path: Path) -> None:
    with _connect(path) as connection:
        _call(connection, 1, "initialize", codex.initialize(__version__))
        connection.send(jsonrpc.notification("initialized").decode())
        _call(connection, 2, "thread/loaded/list", {})


def _call(connection: Any, id: int, method: str, params: dict[str, Any]) -> None:
    connection.send(jsonrpc.request(id, method, params).decode())
    until = time.monotonic() + PATIENCE
    while True:
        data = connection.recv(timeout=max(0.0, until - time.monotonic()))
        match jsonrpc.decode(data):
            case jsonrpc.Success(answered) if answered == id:
                return
            case jsonrpc.Failure(answered, error) if answered == id:
                raise OSError(f"{method}: {error.message}")
