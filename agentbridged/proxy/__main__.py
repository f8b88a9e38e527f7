"""``python -m agentbridged.proxy``: run the Codex proxy; the daemon's supervisor starts it."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from agentbridged.children import leftovers
from agentbridged.errors import AgentBridgeError
from agentbridged.proxy.server import Proxy


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until stopped; return the exit status: 0 ended, 1 refused."""
    parser = argparse.ArgumentParser(prog="python -m agentbridged.proxy", description=__doc__)
    parser.add_argument("--codex-socket", type=Path, required=True, help="where TUIs connect")
    parser.add_argument("--link-socket", type=Path, required=True, help="where the daemon does")
    parser.add_argument("--generation", type=int, required=True, help="grows with each start")
    parser.add_argument(
        "--idle-exit", type=float, default=240.0, help="seconds without TUI and daemon"
    )
    parser.add_argument(
        "--app-server-record",
        type=Path,
        help="whose child to end along with ourselves, unless somebody uses it",
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s proxy %(levelname)s %(message)s", stream=sys.stderr
    )
    try:
        asyncio.run(_serve(options))
    except AgentBridgeError as error:
        print(f"agentbridged.proxy: {error}", file=sys.stderr)
        return 1
    return 0


async def _serve(options: argparse.Namespace) -> None:
    proxy = Proxy(
        options.codex_socket,
        options.link_socket,
        generation=options.generation,
        idle_exit=options.idle_exit,
        last_duty=partial(_end_app_server, options.app_server_record),
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, proxy.stop)
    await proxy.run()


def _end_app_server(record: Path | None) -> bool:
    """End the app-server of a daemon that is gone for good; whether there is none any more."""
    return record is None or leftovers.end_unless_used(record)


if __name__ == "__main__":
    sys.exit(main())
