"""
The whole bridge: how long a message takes between the two agents, and what the service weighs.

``python -m tests.bench.bench_hop`` runs the real daemon, the real app-server on a scripted model,
and the real shim, whose inbox socket the benchmark plays. It prints, beside the goals of the
design: the daemon's start to READY and the shim's start to its first answer, each also as a ratio
to ``python -c pass``; an answer of Codex, from the moment another client of the app-server hears
it to the moment it is in Claude's inbox socket; a call of ``send_to_codex`` until it is
acknowledged, which is when it is on disk; and the memory of daemon and proxy.
"""

from __future__ import annotations

import asyncio
import os
import socket
import statistics
import subprocess
import sys
import time
from contextlib import AsyncExitStack

import psutil

from agentbridged import paths
from tests.lab import codex
from tests.lab.scripted import Json
from tests.lab.waiting import until
from tests.lab.world import World
from tests.mcp.client import Client, environment, shim
from tests.mcp.scripted_inbox import ScriptedInbox, inbox

ANSWERS = 20
"""Below the inbox's limit of 30 at once: past that the shim waits, as it must."""
SENDS = 50
STARTS = 5


def line(what: str, value: float, unit: str, goal: str) -> None:
    """Print one figure beside its goal."""
    print(f"  {what:58} {value:8.1f} {unit}   (goal: {goal})", flush=True)


def p50(spans: list[float]) -> float:
    """Return the median, in milliseconds."""
    return statistics.median(spans) * 1000


def plain_python() -> float:
    """Return how long the least Python program takes here, in seconds."""
    spans = []
    for _ in range(STARTS):
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        spans.append(time.perf_counter() - begin)
    return statistics.median(spans)


def start_to_ready(world: World) -> float:
    """Start a daemon under a service manager that is us; return seconds until READY=1."""
    address = str(world.short / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(30)
        begin = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, "-m", "agentbridged"],
            env=world.environment | {"NOTIFY_SOCKET": address},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as daemon:
            while b"READY=1" not in manager.recv(4096):
                pass
            taken = time.perf_counter() - begin
            daemon.terminate()
    os.unlink(address)
    return taken


def measure_starts(world: World, plain: float) -> None:
    """Print how long the daemon's start takes."""
    taken = [start_to_ready(world) for _ in range(STARTS)]
    line("daemon start → READY, p50", p50(taken), "ms", "≤ 300")
    print(f"    = {statistics.median(taken) / plain:.1f} × `python -c pass`")


async def measure_shim(env: dict[str, str], world: World, plain: float) -> None:
    """Print how long a shim's start takes."""
    taken = []
    for _ in range(STARTS):
        begin = time.perf_counter()
        async with shim(env, world.project) as client:
            await client.initialize()
            taken.append(time.perf_counter() - begin)
    line("shim start → initialize answered, p50", p50(taken), "ms", "≤ 150")
    print(f"    = {statistics.median(taken) / plain:.1f} × `python -c pass`")


async def measure_answers(observer: codex.AppServer, thread_id: str, box: ScriptedInbox) -> None:
    """Print how long an answer of Codex takes into Claude's inbox socket."""
    spans = []
    for number in range(ANSWERS):
        text = f"answer number {number}."
        since = len(observer.heard)
        params = {"threadId": thread_id, "input": codex.text_input(f"%final {text}")}
        await observer.call("turn/start", params)

        def said(message: Json, text: str = text) -> bool:
            item = message.get("params", {}).get("item", {})
            return message.get("method") == "item/completed" and item.get("text") == text

        heard = await observer.wait_for(said, since=since)
        heard_at = observer.heard_at[observer.heard.index(heard)]
        await box.until(text)
        spans.append(box.at[-1] - heard_at)
        await observer.wait_for(lambda m: m.get("method") == "turn/completed", since=since)
    line("Codex item/completed → in Claude's inbox socket, p50", p50(spans), "ms", "≤ 5")
    line("  the slowest of them", max(spans) * 1000, "ms", "-")


async def measure_sends(client: Client) -> None:
    """Print how long a send takes until it is acknowledged and durable."""
    spans = []
    for number in range(SENDS):
        begin = time.perf_counter()
        text, failed = await client.tool("send_to_codex", text=f"question {number}")
        spans.append(time.perf_counter() - begin)
        assert not failed, text
    line("send_to_codex called → acknowledged and durable, p50", p50(spans), "ms", "≤ 10")


def measure_memory(world: World) -> None:
    """Print what daemon and proxy weigh."""
    status = world.status()
    pids = (status["pid"], status["proxy"]["pid"])
    total = sum(psutil.Process(pid).memory_info().rss for pid in pids)
    line("memory of daemon and proxy", total / 2**20, "MB", "≤ 60")


async def measure(world: World) -> None:
    """Measure what needs a running bridge."""
    plain = plain_python()
    ours = paths.from_environment(world.environment)
    async with AsyncExitStack() as stack:
        box = await stack.enter_async_context(inbox(world.short / "inbox"))
        env = environment(ours, world.home, **box.environment)
        await measure_shim(env, world, plain)
        client = await stack.enter_async_context(shim(env, world.project))
        await client.initialize()
        await client.tool("bridge_status")
        observer = await stack.enter_async_context(
            codex.connect(codex.control_socket(world.codex_home), name="bench")
        )
        started = await observer.call("thread/start", {"cwd": str(world.project)})
        await asyncio.to_thread(until, lambda: world.bridge().get("codex"), "a bound thread")
        await measure_answers(observer, started["thread"]["id"], box)
        await measure_sends(client)
        await asyncio.to_thread(measure_memory, world)


def main() -> None:
    """Run it all."""
    with World.open() as world:
        # No person speaks here, and many messages come in a second.
        world.config_file.parent.mkdir(parents=True, exist_ok=True)
        world.config_file.write_text("[governor]\nenabled = false\n", encoding="utf-8")
        measure_starts(world, plain_python())
        world.start_daemon()
        until(lambda: world.status()["app_server"]["connected"], "the app-server is there")
        asyncio.run(measure(world))


if __name__ == "__main__":
    main()
