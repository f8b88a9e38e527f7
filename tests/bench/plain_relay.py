"""
A relay of the plain kind, to measure ours against: it parses each message and writes it anew.

``python -m tests.bench.plain_relay LISTEN UPSTREAM`` (paths of Unix sockets), until killed.
"""

from __future__ import annotations

import asyncio
import json
import sys

from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.asyncio.server import ServerConnection, unix_serve


async def pass_on(
    source: ServerConnection | ClientConnection, sink: ServerConnection | ClientConnection
) -> None:
    """Parse, look for a method, write anew: what a proxy does that rewrites ids."""
    async for raw in source:
        message = json.loads(raw)
        message.get("method")
        await sink.send(json.dumps(message))
    await sink.close()


async def main(listen: str, upstream: str) -> None:
    """Relay each connection to one of its own."""

    async def serve(client: ServerConnection) -> None:
        async with (
            unix_connect(
                upstream, "ws://localhost/", max_size=None, compression=None, ping_interval=None
            ) as server,
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(pass_on(client, server))
            tasks.create_task(pass_on(server, client))

    async with unix_serve(serve, listen, max_size=None, compression=None, ping_interval=None):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
