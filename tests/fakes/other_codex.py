"""
Another Codex than the one we know: the real app-server, behind a relay that changes what it says.

    python -m tests.fakes.other_codex LISTEN UPSTREAM --lack thread/queue/add --version 0.150.0

What is lacking is answered as the real one answers what it does not know
(``tests/codex/test_other_codex.py`` holds it to that); everything else is the real one's own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.asyncio.server import ServerConnection, unix_serve
from websockets.exceptions import ConnectionClosed


def unknown(method: str) -> dict[str, Any]:
    """How the real app-server (0.169.0) answers a method it does not know."""
    words = f"Invalid request: unknown variant `{method}`, expected one of `initialize`, `more`"
    return {"code": -32600, "message": words}


@dataclass
class OtherCodex:
    """In which way this Codex is another one."""

    lacking: set[str] = field(default_factory=set)
    """Methods it does not have."""
    refusing: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    """Methods it answers with this JSON-RPC error."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Notifications that have another name."""
    reshaped: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    """Notifications and answers with other members: by method, what is put over the params."""
    version: str = ""
    plain: bool = False
    """Its clients get no experimental methods."""
    asked: list[tuple[str, Any]] = field(default_factory=list)
    """Every method that was called, with its params."""

    @asynccontextmanager
    async def serving(self, listen: Path, upstream: Path) -> AsyncIterator[None]:
        """Serve at *listen* in front of the real app-server at *upstream*."""

        async def serve(client: ServerConnection) -> None:
            async with unix_connect(
                str(upstream), uri="ws://localhost/rpc", max_size=None, compression=None
            ) as server:
                await self._relay(client, server)

        async with unix_serve(serve, str(listen), max_size=None, compression=None):
            yield

    async def _relay(self, client: ServerConnection, server: ClientConnection) -> None:
        methods: dict[Any, str] = {}
        tasks = [
            asyncio.ensure_future(self._up(client, server, methods)),
            asyncio.ensure_future(self._down(client, server, methods)),
        ]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if not isinstance(outcome, ConnectionClosed | asyncio.CancelledError | None):
                raise outcome

    async def _up(
        self, client: ServerConnection, server: ClientConnection, methods: dict[Any, str]
    ) -> None:
        async for raw in client:
            message = json.loads(raw)
            refusal = self._refusal(message, methods)
            if refusal is not None:
                await client.send(json.dumps({"id": message["id"], "error": refusal}))
            else:
                await server.send(json.dumps(self._asked(message)))

    async def _down(
        self, client: ServerConnection, server: ClientConnection, methods: dict[Any, str]
    ) -> None:
        async for raw in server:
            await client.send(json.dumps(self._said(json.loads(raw), methods)))

    def _refusal(self, message: dict[str, Any], methods: dict[Any, str]) -> dict[str, Any] | None:
        method = message.get("method")
        if method is None or "id" not in message:
            return None
        self.asked.append((method, message.get("params")))
        methods[message["id"]] = method
        if method in self.lacking:
            return unknown(method)
        return self.refusing.get(method)

    def _asked(self, message: dict[str, Any]) -> dict[str, Any]:
        if self.plain and message.get("method") == "initialize":
            message["params"]["capabilities"]["experimentalApi"] = False
        return message

    def _said(self, message: dict[str, Any], methods: dict[Any, str]) -> dict[str, Any]:
        method = message.get("method")
        if method is None:
            return self._answered(message, methods.pop(message.get("id"), ""))
        if method in self.reshaped and "id" not in message:
            message["params"] |= self.reshaped[method]
        message["method"] = self.renamed.get(method, method)
        return message

    def _answered(self, message: dict[str, Any], method: str) -> dict[str, Any]:
        if method == "initialize" and self.version and "result" in message:
            agent = message["result"]["userAgent"]
            name, _, rest = agent.partition("/")
            message["result"]["userAgent"] = f"{name}/{self.version} {rest.partition(' ')[2]}"
        if method in self.reshaped and "result" in message:
            message["result"] |= self.reshaped[method]
        return message


async def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("listen", type=Path)
    parser.add_argument("upstream", type=Path)
    parser.add_argument("--lack", action="append", default=[])
    parser.add_argument("--version", default="")
    given = parser.parse_args()
    other = OtherCodex(lacking=set(given.lack), version=given.version)
    async with other.serving(given.listen, given.upstream):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
