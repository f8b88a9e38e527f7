"""
Rounds of kill -9 in the middle of traffic both ways: of the daemon, the proxy, the app-server.

Few rounds, or as many as ``AGENTBRIDGE_ROUNDS`` says (``make rounds``); the moments are drawn from
``AGENTBRIDGE_SEED``. The figures are printed: seconds from the blow to what followed it.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import statistics
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from agentbridged.launches import APP_SERVER, PROXY
from agentbridged.machines.child import RestartPolicy
from tests.lab import processes
from tests.lab.scripted import Json
from tests.lab.traffic import Traffic, now
from tests.lab.tui import ClaudeTui, CodexTui
from tests.lab.waiting import PATIENCE, until
from tests.lab.world import World

ROUNDS = int(os.environ.get("AGENTBRIDGE_ROUNDS", "4"))
FEWER = -(-ROUNDS * 3 // 10)
"""Rounds of what is killed more seldom: 15 for 50."""
SEED = int(os.environ.get("AGENTBRIDGE_SEED") or random.SystemRandom().getrandbits(32))
ENDS = (signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGABRT)
"""How a daemon ends: mostly by kill -9, now and then as by the service manager's watchdog."""
LIMIT = 300 + 60 * ROUNDS
"""Seconds for all rounds of one kind."""


@pytest.fixture(scope="module")
def codex(world: World) -> CodexTui:
    """A TUI behind the proxy: it would notice an end of the proxy too."""
    return world.codex_tui(wrapper=True)


@pytest.fixture(scope="module")
def traffic(world: World, codex: CodexTui, claude: ClaudeTui) -> Traffic:
    return Traffic(world, codex, claude, seed=SEED)


def picture(traffic: Traffic) -> Json:
    """Return what must be the same before and after: the agents, the shim, the children."""
    status = traffic.world.status()
    below = processes.with_descendants([traffic.claude.pid])
    return {
        "Codex": traffic.codex.terminal.running(),
        "Claude": traffic.claude.terminal.running(),
        "shims": [pid for pid in below if "agentbridge-mcp" in processes.describe([below[pid]])],
        "app-server": status["app_server"]["pid"],
        "proxy": status["proxy"]["pid"],
        "TUIs": status["proxy"]["tuis"],
    }


@contextmanager
def ready_heard(path: Path) -> Iterator[list[float]]:
    """Stand where systemd would; inside, a list gets the moment of the daemon's READY."""
    heard_at: list[float] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(PATIENCE)

        def listen() -> None:
            while not heard_at:
                if b"READY=1" in manager.recv(4096).splitlines():
                    heard_at.append(now())

        listener = threading.Thread(target=listen)
        listener.start()
        try:
            yield heard_at
        finally:
            listener.join()
    path.unlink()


def kill_child(world: World, name: str) -> tuple[float, float]:
    """Kill a child and wait for the next; returns the moment, and the seconds it took."""
    old = world.status()[name]
    at = now()
    psutil.Process(old["pid"]).kill()

    def is_back() -> bool:
        child = world.status()[name]
        return bool(child["generation"] > old["generation"] and child["state"] == "RUNNING")

    until(is_back, f"the next {name}", every=0.02, explain=world.report)
    return at, now() - at


def wait_steady(at: float, policy: RestartPolicy) -> None:
    """Let a child last as long as its policy asks for: it is killed often, and is not failing."""
    until(lambda: now() - at > policy.steady_after + 1, "steady")


class Figures:
    """Seconds from each blow to what followed it, of all rounds."""

    def __init__(self, title: str, traffic: Traffic) -> None:
        self._title, self._traffic = title, traffic
        self._spans: dict[str, list[float]] = {}
        print(f"\n{title}, seed {SEED}")

    def add(self, kind: str, at: float, **spans: float) -> None:
        """Add a round's figures to those of the traffic itself."""
        reached = self._traffic.crossed_since(at)
        spans |= {f"a message reached {name}": span for name, span in reached.items()}
        for name, seconds in spans.items():
            self._spans.setdefault(name.replace("_", " "), []).append(seconds)
        print(f"  {kind}: " + ", ".join(f"{name} {s:.2f}" for name, s in spans.items()))

    def show(self) -> None:
        """Print median and worst."""
        for name, spans in self._spans.items():
            median, worst = statistics.median(spans), max(spans)
            print(f"{name}: median {median:.2f} s, worst {worst:.2f} s ({len(spans)} times)")


def expect_all_once(traffic: Traffic) -> None:
    """Count all rounds again, since a double may come late, and in Codex's own record too."""
    traffic.expect_once(traffic.to_codex, traffic.to_claude)
    written_down = traffic.in_rollouts()
    assert [n for n in traffic.to_codex if sum(n in text for text in written_down) != 1] == []


@pytest.mark.requirement("S9")
@pytest.mark.timeout(LIMIT)
def test_a_killed_daemon_loses_and_doubles_nothing_and_nobody_notices(traffic: Traffic) -> None:
    world = traffic.world
    figures = Figures(f"{ROUNDS} times kill -9 of the daemon", traffic)
    at = back = 0.0

    def strike() -> None:
        nonlocal at, back
        with ready_heard(world.short / "notify") as ready:
            at = now()
            world.stop_daemon(traffic.chance.choice(ENDS))
            world.start_daemon(NOTIFY_SOCKET=str(world.short / "notify"))
            back = until(lambda: ready, "READY")[0] - at

    before = picture(traffic)
    for _ in range(ROUNDS):
        kind = traffic.round(strike)
        assert picture(traffic) == before, world.report()
        figures.add(kind, at, the_next_daemon_READY=back)
    expect_all_once(traffic)
    figures.show()


def rounds_of(traffic: Traffic, name: str, policy: RestartPolicy, *, cuts: bool = False) -> None:
    """Kill a child in the middle of each round; it is back, the TUI with it, and all else stays."""
    world, said = traffic.world, name.replace("_", "-")
    figures = Figures(f"{FEWER} times kill -9 of the {said}", traffic)
    at = back = shown = 0.0

    def strike() -> None:
        nonlocal at, back, shown
        at, back = kill_child(world, name)
        until(lambda: world.status()["proxy"]["tuis"] == 1, "the TUI", explain=world.report)
        shown = now() - at

    before = picture(traffic)
    for _ in range(FEWER):
        kind = traffic.round(strike, cuts=cuts)
        assert picture(traffic) | {said: 0} == before | {said: 0}, world.report()
        spans = {f"the_next_{name}_RUNNING": back, "the_TUI_connected_again": shown}
        figures.add(kind, at, **spans)
        wait_steady(at + back, policy)
    if cuts:
        traffic.round(lambda: None)  # by this the model hears of what was cut as well
    expect_all_once(traffic)
    figures.show()


@pytest.mark.timeout(LIMIT)
def test_a_killed_proxy_is_back_at_once_and_the_tui_with_it(traffic: Traffic) -> None:
    rounds_of(traffic, "proxy", PROXY)


@pytest.mark.timeout(LIMIT)
def test_a_killed_app_server_takes_its_turn_along_and_nothing_else(traffic: Traffic) -> None:
    rounds_of(traffic, "app_server", APP_SERVER, cuts=True)
