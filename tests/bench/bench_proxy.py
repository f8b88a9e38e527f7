"""
The Codex proxy against ``socat`` and against a plain parse-and-reserialise relay, in one run.

``python -m tests.bench.bench_proxy`` prints throughput from server to TUI (frames of 214 bytes as
Codex's deltas, and of 12 MB as its longest answers) and the round trip's p50. Each is taken in
turns, a few times, and the best of each is compared: the machine may be busy otherwise. The ends
are plain sockets in processes of their own, so that the relay is what is measured.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from agentbridged.proxy.handshake import END, read_request
from agentbridged.wire.link import Upstream, encode
from agentbridged.wire.websocket import Message, Walker

DELTA = 214
"""Bytes of a frame's payload for a delta of four characters (measured, Codex 0.169.0)."""

BIG = 12_000_000
ROUNDS = 3
TRIPS = 2000
SMALL_BYTES = 40_000_000
BIG_BYTES = 120_000_000
PLAIN_SHARE = 8
"""The plain relay gets this fraction of the bytes, or the run would take minutes."""

PATIENCE = 60
SERVE = "serve"
"""The argument that makes this program the app-server's part of the measurement."""


def frame(size: int) -> bytes:
    """Write a server's text frame with a JSON message of *size* bytes."""
    shell = {"method": "item/agentMessage/delta", "params": {"threadId": "t" * 36, "delta": ""}}
    shell["params"]["delta"] = "x" * (size - len(json.dumps(shell)))  # type: ignore[index]
    payload = json.dumps(shell).encode()
    length = len(payload)
    if length < 65536:
        return b"\x81\x7e" + length.to_bytes(2, "big") + payload
    return b"\x81\x7f" + length.to_bytes(8, "big") + payload


def masked(text: bytes) -> bytes:
    """Write a client's text frame; its mask is zero, which changes nothing and is lawful."""
    return b"\x81" + bytes((0x80 | len(text),)) + bytes(4) + text


class Server:
    """The app-server's part: upgrades, then sends a stream for ``bulk``, or echoes."""

    def __init__(self, path: Path) -> None:
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()

    def run(self) -> None:
        """Serve one connection after the other."""
        while True:
            connection, _ = self.listener.accept()
            with connection, contextlib.suppress(OSError):
                self.serve(connection)

    def serve(self, connection: socket.socket) -> None:
        """Do what the client's first frame says."""
        head = read_until(connection, END)
        connection.sendall(read_request(head).accept())
        walker = Walker(lambda header: header.length)
        orders: list[Message] = []
        while not orders:
            data = connection.recv(4096)
            if not data:
                return
            orders = walker.feed(data)
        order = json.loads(orders[0].data)
        for message in orders[1:]:
            connection.sendall(b"\x81\x7e" + message.size.to_bytes(2, "big") + message.data)
        if order["do"] == "bulk":
            count = max(1, order["bytes"] // order["size"])
            one = frame(order["size"])
            several = one * max(1, 65536 // len(one))
            whole, rest = divmod(count * len(one), len(several))
            for _ in range(whole):
                connection.sendall(several)
            connection.sendall(several[:rest])
        while not walker.closing and (data := connection.recv(65536)):
            for message in walker.feed(data):
                connection.sendall(b"\x81\x7e" + message.size.to_bytes(2, "big") + message.data)


def read_until(connection: socket.socket, end: bytes) -> bytes:
    """Read up to *end*; what comes after it must not have come yet."""
    data = b""
    while not data.endswith(end):
        if not (byte := connection.recv(1)):
            raise ConnectionError("it ended before its head did")
        data += byte
    return data


def connect(path: Path) -> socket.socket:
    """Come as a TUI does."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(PATIENCE)
    client.connect(str(path))
    client.sendall(
        b"GET /rpc HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    read_until(client, END)
    return client


def throughput(path: Path, size: int, total: int) -> float:
    """Return megabytes a second from server to client."""
    with connect(path) as client:
        order = json.dumps({"do": "bulk", "size": size, "bytes": total}).encode()
        wanted = max(1, total // size) * len(frame(size))
        buffer = memoryview(bytearray(1 << 20))
        began = time.perf_counter()
        client.sendall(masked(order))
        got = 0
        while got < wanted:
            got += client.recv_into(buffer)
        return got / (time.perf_counter() - began) / 1e6


def round_trip(path: Path) -> float:
    """Return the p50 of a 214-byte message there and back, in microseconds."""
    text = frame(DELTA)[4:]
    ask = b"\x81\xfe" + DELTA.to_bytes(2, "big") + bytes(4) + text
    answer_size = 4 + DELTA
    times = []
    with connect(path) as client:
        client.sendall(masked(json.dumps({"do": "echo"}).encode()))
        for _ in range(TRIPS):
            began = time.perf_counter()
            client.sendall(ask)
            got = 0
            while got < answer_size:
                got += len(client.recv(65536))
            times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e6


@dataclass
class Figures:
    """What was measured of one way through."""

    small: list[float] = field(default_factory=list)
    big: list[float] = field(default_factory=list)
    trips: list[float] = field(default_factory=list)


@contextlib.contextmanager
def program(command: list[str], ready: Callable[[], object]) -> Iterator[None]:
    """Run a relay until the end of the block."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + PATIENCE
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"bench_proxy: {command[0]} did not start")
            threading.Event().wait(0.02)
        yield
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def listens(path: Path) -> bool:
    """Whether a connection can be had."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def tell_upstream(link: Path, upstream: Path) -> socket.socket:
    """Be the daemon: name the app-server."""
    daemon = socket.socket(socket.AF_UNIX)
    daemon.connect(str(link))
    daemon.sendall(encode(Upstream(str(upstream), 1)))
    return daemon


def measure(paths: dict[str, Path]) -> dict[str, Figures]:
    """Measure all in turns."""
    figures = {name: Figures() for name in paths}
    for _ in range(ROUNDS):
        for name, path in paths.items():
            share = PLAIN_SHARE if name == "plain" else 1
            figures[name].small.append(throughput(path, DELTA, SMALL_BYTES // share))
            figures[name].big.append(throughput(path, BIG, BIG_BYTES // share))
            figures[name].trips.append(round_trip(path))
    return figures


def report(figures: dict[str, Figures]) -> None:
    """Print all side by side, and ours as ratios."""
    print(f"{'':8} {'214 B frames':>14} {'12 MB frames':>14} {'round trip p50':>15}")
    best = {n: (max(f.small), max(f.big), min(f.trips)) for n, f in figures.items()}
    for name, (small, big, trip) in best.items():
        print(f"{name:8} {small:9.0f} MB/s {big:9.0f} MB/s {trip:12.0f} µs")
    ours = best["ours"]
    for name, goal in (("plain", "frames ≥ 8"), ("socat", "frames ≥ 1/3, round trip ≤ 1.5")):
        if name in best:
            small, big, trip = (a / b for a, b in zip(ours, best[name], strict=True))
            print(f"ours / {name}: {small:.2f} {big:.2f} round trip {trip:.2f}  (goal: {goal})")
        else:
            print(f"{name} is not installed: no comparison with it")


def main() -> None:
    """Start the three, measure, print."""
    with tempfile.TemporaryDirectory(prefix="bp") as folder, contextlib.ExitStack() as stack:
        home = Path(folder)
        server = home / "s"
        command = [sys.executable, "-m", "tests.bench.bench_proxy", SERVE, str(server)]
        stack.enter_context(program(command, lambda: listens(server)))
        ours, link = home / "o", home / "l"
        command = [sys.executable, "-m", "agentbridged.proxy", "--generation", "1"]
        command += ["--codex-socket", str(ours), "--link-socket", str(link)]
        stack.enter_context(program(command, lambda: listens(link)))
        stack.enter_context(tell_upstream(link, server))
        plain = home / "p"
        command = [sys.executable, "-m", "tests.bench.plain_relay", str(plain), str(server)]
        stack.enter_context(program(command, lambda: listens(plain)))
        paths = {"ours": ours, "plain": plain}
        if socat := shutil.which("socat"):
            other = home / "c"
            command = [socat, f"UNIX-LISTEN:{other},fork", f"UNIX-CONNECT:{server}"]
            stack.enter_context(program(command, other.exists))
            paths["socat"] = other
        report(measure(paths))


if __name__ == "__main__":
    if sys.argv[1:2] == [SERVE]:
        Server(Path(sys.argv[2])).run()
    else:
        main()
