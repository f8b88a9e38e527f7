"""
The faults of a soak, one method each; which comes when is for the dice.

``HARM`` is the catalogue. A fault that needs time (a stall) takes it in its method, and its
recovery is measured from that method's end; of what is killed, from the kill.
"""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import psutil

from tests.lab import doors
from tests.lab.chaos import Chaos, Way
from tests.lab.waiting import NeverHappened, until
from tests.soak.scene import Scene

_never = threading.Event()


@dataclass(frozen=True)
class Fault:
    """One kind of fault."""

    name: str
    inflict: Callable[[Faults], float | None]
    """Returns the time from which recovery counts, where that is not its own end."""
    weight: int
    spacing: float = 0
    """Seconds between two of a kind: a child that fails too often is given up on, by policy."""
    ages: bool = True
    """Whether the daemon and the proxy live on, so that their size can be followed."""


class Faults:
    """What is done to a scene."""

    def __init__(self, scene: Scene, dice: random.Random) -> None:
        self.scene, self.dice = scene, dice
        self.said = ""
        """What the last one did, for the log."""

    def _project(self) -> Path:
        return self.dice.choice(self.scene.projects)

    def _last(self, longest: float) -> None:
        """Let a fault last for a while."""
        seconds = self.dice.uniform(0.1, longest)
        self.said += f" for {seconds:.2f} s"
        _never.wait(seconds)

    def _way(self) -> Way:
        return self.dice.choice(get_args(Way))

    # Processes

    def kill_the_daemon(self) -> float:
        """As a crash; the service manager starts it again at once."""
        scene = self.scene
        scene.stand_before_the_proxy()
        at = time.monotonic()
        scene.stop_daemon(signal.SIGKILL)
        scene.start_daemon(whole=False)
        return at

    def kill_the_proxy(self) -> float:
        """As a crash; the daemon starts it again."""
        return self._kill("proxy")

    def kill_the_app_server(self) -> float:
        """As a crash; the daemon starts it again."""
        return self._kill("app_server")

    def _kill(self, child: str) -> float:
        pid = self._pid_of(child)
        assert pid, f"{child} runs"
        at = time.monotonic()
        psutil.Process(pid).kill()
        until(lambda: self._pid_of(child) not in (None, pid), f"the next {child}")
        return at

    def _pid_of(self, child: str) -> int | None:
        """Return a child's process; of the app-server, which is joined by way of a relay, too."""
        if child == "proxy":
            pid: int | None = self.scene.ask_the_daemon()["proxy"]["pid"]
            return pid
        servers = [p for p in self.scene.running() if "app-server" in _words(p)[1:2] and _runs(p)]
        return servers[0].pid if servers else None

    def stop_the_daemon_for_a_while(self) -> None:
        """SIGSTOP and SIGCONT, as a suspended machine."""
        assert self.scene.daemon
        process = psutil.Process(self.scene.daemon.pid)
        process.suspend()
        try:
            self._last(2.5)
        finally:
            process.resume()

    # Lines

    def _relay(self, *names: str) -> Chaos:
        """Choose a door through which somebody goes."""
        self.scene.stand_before_the_proxy()  # a new one listens past the relay
        used = [name for name in names if self.scene.relays[name].peers()]
        self.said = self.dice.choice(used or names)
        return self.scene.relays[self.said]

    def cut_a_line(self) -> None:
        """End whatever goes through one door."""
        self._relay("claude", "codex", "admin", "app-server", "proxy").cut()

    def half_close_a_line(self) -> None:
        """End one direction of what goes through one door."""
        self._relay("claude", "codex", "admin", "app-server", "proxy").half_close(self._way())

    def stall_a_line(self) -> None:
        """Let nothing pass one door, in one direction or both."""
        with _calm(self._relay("claude", "codex", "admin", "app-server", "proxy")) as relay:
            relay.stall(self._way())
            self._last(2.5)

    def stall_and_cut_a_line(self) -> None:
        """Lose answers for good: what was asked may be done or not."""
        with _calm(self._relay("claude", "admin", "app-server")) as relay:
            relay.stall("down")
            self._last(1.5)
            relay.cut()

    def delay_a_line(self) -> None:
        """Make everything through one door late."""
        with _calm(self._relay("claude", "codex", "admin", "app-server", "proxy")) as relay:
            relay.delay(0.05)
            self._last(1.5)

    def dribble_a_line(self) -> None:
        """Let single bytes through one door."""
        with _calm(self._relay("claude", "admin", "proxy", "codex")) as relay:
            relay.dribble()
            self._last(0.7)

    def storm(self) -> None:
        """Let the dice split, delay and cut at every door."""
        try:
            for relay in self.scene.relays.values():
                relay.storm(self.dice.randrange(1000))
            self._last(1.5)
        finally:
            self.scene.calm()

    # The doors

    def come_twice_to_the_seat(self) -> None:
        """Every session says once more how it began."""
        self.scene.relays["claude"].double()

    def send_rubbish(self) -> None:
        """Say what nobody understands, at one door."""
        name = self.dice.choice(("claude.sock", "codex.sock", "admin.sock"))
        self.said = name
        rubbish = self.dice.choice(
            (b"\0\xff" * 50, b"GET / HTTP/1.1\r\n\r\n", b"{", doors.upgrade_request() + b"\x81")
        )
        with suppress(OSError), doors.knock(self.scene.back / name) as connection:
            connection.sendall(rubbish)

    # People

    def reopen_codex(self) -> None:
        """Close a Codex terminal and open another, on a new thread or the last one."""
        project = self._project()
        resume = self.dice.random() < 0.4
        self.said = f"{project.name}, {'resumed' if resume else 'a new thread'}"
        self.scene.close_codex(project)
        self.scene.open_codex(project, *(("resume", "--last") if resume else ()))

    def restart_claude(self) -> None:
        """End a Claude Code session and open another."""
        project = self._project()
        kill = self.dice.random() < 0.5
        self.said = f"{project.name}, {'killed' if kill else 'its terminal closed'}"
        self.scene.close_claude(project, kill=kill)
        self.scene.open_claude(project)

    def clear_claude(self) -> None:
        """``/clear``: another session in the same process."""
        project = self._project()
        self.said = project.name
        with suppress(NeverHappened):
            self.scene.claudes[project].say("/clear")

    def pause_a_bridge(self) -> None:
        """Pause one bridge, and resume it."""
        project = self._project()
        self.said = project.name
        past_relays = self.scene.back / "admin.sock"
        doors.ask(past_relays, "bridge.pause", project_dir=str(project), reason="soak")
        try:
            self._last(2)
        finally:
            doors.ask(past_relays, "bridge.resume", project_dir=str(project))

    def reload(self) -> None:
        """Read the configuration again."""
        doors.ask(self.scene.back / "admin.sock", "config.reload")


def _words(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        return process.cmdline()
    return []


def _runs(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


@contextmanager
def _calm(relay: Chaos) -> Iterator[Chaos]:
    try:
        yield relay
    finally:
        relay.calm()


HARM = (
    Fault("daemon: kill -9", Faults.kill_the_daemon, 10, spacing=8, ages=False),
    Fault("proxy: kill -9", Faults.kill_the_proxy, 8, spacing=12, ages=False),
    Fault("app-server: kill -9", Faults.kill_the_app_server, 8, spacing=20),
    Fault("daemon: SIGSTOP, SIGCONT", Faults.stop_the_daemon_for_a_while, 6),
    Fault("line: cut", Faults.cut_a_line, 16),
    Fault("line: half-closed", Faults.half_close_a_line, 12),
    Fault("line: stalled", Faults.stall_a_line, 10),
    Fault("line: stalled, then cut", Faults.stall_and_cut_a_line, 10),
    Fault("line: delayed", Faults.delay_a_line, 5),
    Fault("line: a byte at a time", Faults.dribble_a_line, 5),
    Fault("all lines: storm", Faults.storm, 6),
    Fault("seat: a duplicate connect", Faults.come_twice_to_the_seat, 6),
    Fault("door: rubbish", Faults.send_rubbish, 5),
    Fault("Codex: terminal closed, opened", Faults.reopen_codex, 10, spacing=10),
    Fault("Claude: session restarted", Faults.restart_claude, 10, spacing=15),
    Fault("Claude: /clear", Faults.clear_claude, 5, spacing=20),
    Fault("bridge: paused, resumed", Faults.pause_a_bridge, 6),
    Fault("configuration: reloaded", Faults.reload, 4),
)
"""Every kind of fault."""
