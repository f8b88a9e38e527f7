"""``agentbridged``: run the daemon in the foreground."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import sys

import click

from agentbridged import __version__, lock, log, paths
from agentbridged.children import leftovers
from agentbridged.errors import AgentBridgeError, AlreadyRunning, ConfigError
from agentbridged.notify import is_supervised
from agentbridged.service import systemd

FAILED = 1
BAD_CONFIG = 78
"""EX_CONFIG of sysexits.h: the service manager does not try again."""
START_AGAIN = 75
"""EX_TEMPFAIL: the service manager starts what is installed now."""


@click.command()
@click.version_option(__version__, prog_name="agentbridged")
@click.option(
    "--after-stop", is_flag=True, help="End what a daemon that was killed left running, and exit."
)
def main(after_stop: bool) -> None:
    """
    Let Claude Code and Codex sessions work as peers.

    Runs in the foreground and logs to stderr; SIGTERM ends it, SIGHUP reads the configuration
    again. It is steered with agentbridgectl.
    """
    os.umask(0o077)
    try:
        if after_stop:
            _end_leftovers()
        elif asyncio.run(_serve()):
            _begin_anew()
    except AlreadyRunning as error:
        _fail(error, FAILED)
    except ConfigError as error:
        _fail(error, BAD_CONFIG)
    except AgentBridgeError as error:
        _fail(error, FAILED)


async def _serve() -> bool:
    """Run the daemon; whether another is to follow it."""
    from agentbridged.daemon import Daemon  # all of the bridge, and --after-stop needs none of it

    where = paths.from_environment()
    where.make()
    with lock.held(where.lock_file):
        log.set_up(where.logs)
        if sys.stderr is not None:
            faulthandler.enable()  # what a watchdog's SIGABRT ends tells where it stood
        daemon = Daemon(where)
        await daemon.run()
        return daemon.is_handing_over


def _begin_anew() -> None:
    """Become what is installed now, or let the service manager start it."""
    if is_supervised():
        sys.exit(START_AGAIN)
    try:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    except OSError as error:
        raise AgentBridgeError(
            f"cannot start {sys.executable} again: {error.strerror}; start agentbridged anew"
        ) from error


def _end_leftovers() -> None:
    """
    End the children of a daemon that is gone, unless another runs or is about to.

    systemd calls this after every end (``ExecStopPost=``); only after one that somebody asked for,
    nobody comes to adopt them.
    """
    where = paths.from_environment()
    left = leftovers.running(where.child_records)
    if not left or ("SERVICE_RESULT" in os.environ and not systemd.is_being_stopped()):
        return
    with contextlib.suppress(AlreadyRunning), lock.held(where.lock_file):
        leftovers.end(left)


def _fail(error: AgentBridgeError, code: int) -> None:
    print(f"agentbridged: {error}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
