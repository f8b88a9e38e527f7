"""
The verbs of one managed process: spawn, signal, end its group, reap.

A child gets a session of its own, no input, and a log file for its output: never a pipe, which
would tie its life to ours and the news of its death to its grandchildren's. Every signal goes only
to the very process that was started (pid and create time).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil

from agentbridged.children import logs
from agentbridged.children.liveness import Identity, identify, is_alive
from agentbridged.descriptors import RESERVE
from agentbridged.identity import started


@dataclass(frozen=True)
class Launch:
    """How to start a child."""

    argv: list[str]
    env: dict[str, str]
    cwd: Path
    log: Path
    """Its stdout and stderr are appended here."""


def spawn(launch: Launch) -> Identity:
    """Start the process; raises :exc:`OSError` when it cannot be."""
    launch.log.parent.mkdir(parents=True, exist_ok=True)
    logs.begin_anew(launch.log)
    with os.fdopen(os.open(launch.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as log:
        process = subprocess.Popen(
            launch.argv,
            env=launch.env,
            cwd=launch.cwd,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    # Popen would mourn a child that outlives it; this one is meant to, and reap() sees to the rest.
    process.returncode = 0
    found = identify(process.pid)
    return found or Identity(
        process.pid, RESERVE.reading(lambda: started(psutil.Process(process.pid)))
    )


def send(identity: Identity, number: signal.Signals) -> None:
    """Signal the process, if it still is the one that is meant."""
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        process = RESERVE.reading(lambda: psutil.Process(identity.pid))
        if is_alive(identity):
            process.send_signal(number)  # psutil checks once more that the pid is not reused


def end_group(identity: Identity) -> None:
    """
    Kill what the process left behind in its group, and the process itself.

    Before :func:`reap`, for until then the number of a dead child is not given out again.
    """
    found = identify(identity.pid)
    if found is None or is_alive(identity):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(identity.pid, signal.SIGKILL)


def reap(identity: Identity) -> int | None:
    """Return a dead child's status (negative: the signal); ``None`` if it is not our child."""
    try:
        pid, status = os.waitpid(identity.pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status) if pid else None


def in_words(status: int | None) -> str:
    """Say how a process ended."""
    if status is None:
        return "ended; it was adopted, so its status is unknown"
    if status < 0:
        try:
            return f"killed by {signal.Signals(-status).name}"
        except ValueError:
            return f"killed by signal {-status}"
    return f"exited with status {status}"
