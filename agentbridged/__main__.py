"""``agentbridged``: run the daemon in the foreground."""

from __future__ import annotations

import asyncio
import os
import sys

import click

from agentbridged import __version__, lock, log, paths
from agentbridged.daemon import Daemon
from agentbridged.errors import AgentBridgeError, AlreadyRunning, ConfigError

FAILED = 1
BAD_CONFIG = 78
"""EX_CONFIG of sysexits.h: the service manager does not try again."""


@click.command()
@click.version_option(__version__, prog_name="agentbridged")
def main() -> None:
    """
    Let Claude Code and Codex sessions work as peers.

    Runs in the foreground and logs to stderr; SIGTERM ends it, SIGHUP reads the configuration
    again. It is steered with agentbridgectl.
    """
    os.umask(0o077)
    try:
        asyncio.run(_serve())
    except AlreadyRunning as error:
        _fail(error, FAILED)
    except ConfigError as error:
        _fail(error, BAD_CONFIG)
    except AgentBridgeError as error:
        _fail(error, FAILED)


async def _serve() -> None:
    where = paths.from_environment()
    where.make()
    with lock.held(where.lock_file):
        log.set_up(where.logs)
        await Daemon(where).run()


def _fail(error: AgentBridgeError, code: int) -> None:
    print(f"agentbridged: {error}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
