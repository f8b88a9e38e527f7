"""What both mock models share: a loopback HTTP server that records, and that a test can hold."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.lab.waiting import PATIENCE, NeverHappened

Json = dict[str, Any]

HOLD_LIMIT = 120.0
"""Seconds after which a held reply goes on by itself, so that no forgotten hold hangs a run."""


class Gone(Exception):
    """The script asked to cut the stream, or the client left."""


class MockModel:
    """
    A scripted model on 127.0.0.1: its records, its holds, its server.

    A reply that plays ``hold NAME`` stops in the middle until a test calls :meth:`release`; so a
    test decides what happens while an agent is busy, and no test depends on the machine's speed.
    """

    def __init__(self, handler: type[MockHandler]) -> None:
        self._changed = threading.Condition()
        self._requests: list[Json] = []
        self._held: set[str] = set()
        self._released: set[str] = set()
        self._stopping = threading.Event()
        bound = type("Bound", (handler,), {"model": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), bound)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def close(self) -> None:
        """End every delay and the server."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def record(self, request: Json) -> None:
        """Keep a request, and wake who waits for one."""
        with self._changed:
            self._requests.append({"n": len(self._requests), "at": time.monotonic(), **request})
            self._changed.notify_all()

    def requests(self) -> list[Json]:
        """Return what was asked until now, oldest first."""
        with self._changed:
            return list(self._requests)

    def wait_for(
        self,
        matches: Callable[[Json], bool],
        what: str,
        *,
        within: float = PATIENCE,
        explain: Callable[[], str] | None = None,
    ) -> Json:
        """Wait for a request that fits, past ones included, and return it."""
        found: list[Json] = []

        def look() -> bool:
            found[:] = [request for request in self._requests if matches(request)]
            return bool(found) or self._stopping.is_set()

        with self._changed:
            self._changed.wait_for(look, within)
        if not found:
            evidence = f"\n{explain()}" if explain else ""
            raise NeverHappened(f"the model was not asked within {within:g} s: {what}{evidence}")
        return found[0]

    def wait_until_held(self, name: str, *, within: float = PATIENCE) -> None:
        """Wait until a reply stands still at the hold of this name."""
        with self._changed:
            if not self._changed.wait_for(lambda: name in self._held, within):
                raise NeverHappened(f"no reply reached the hold {name!r} within {within:g} s")

    def release(self, name: str) -> None:
        """Let the reply that is held under this name go on."""
        with self._changed:
            self._released.add(name)
            self._changed.notify_all()

    def hold(self, name: str) -> None:
        """Stand still until released; called by the reply."""
        with self._changed:
            self._held.add(name)
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: name in self._released or self._stopping.is_set(), HOLD_LIMIT
            )

    def delay(self, seconds: float) -> None:
        """Let a scripted delay pass; the end of the server ends it too."""
        self._stopping.wait(seconds)


class MockHandler(BaseHTTPRequestHandler):
    """What both mocks need of HTTP."""

    protocol_version = "HTTP/1.1"
    model: MockModel

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the records are what a test reads."""

    def body(self) -> bytes:
        """Read the request's body, chunked or not."""
        if "chunked" not in (self.headers.get("Transfer-Encoding") or ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return b"".join(self._chunks())

    def answer(self, code: int, content: Json) -> None:
        """Answer with JSON."""
        data = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def begin_stream(self) -> None:
        """Begin a stream of server-sent events, which ends with the connection."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True

    def event(self, name: str, data: Json) -> None:
        """Send one event; raises :exc:`Gone` when the client left."""
        try:
            self.wfile.write(f"event: {name}\ndata: {json.dumps(data)}\n\n".encode())
            self.wfile.flush()
        except OSError as error:
            raise Gone from error

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()


def halves(text: str) -> tuple[str, str]:
    """Cut a text in two at a space, for a reply that is held in its middle."""
    middle = text.find(" ", len(text) // 2)
    return (text, "") if middle < 0 else (text[:middle], text[middle:])
