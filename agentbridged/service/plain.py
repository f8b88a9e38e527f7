"""
The daemon as a background process, where there is no service manager (in containers, mostly).

It is started apart from the terminal and known by its lock file. Nothing starts it again after a
crash or a reboot, and people are told so.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import psutil

from agentbridged import lock
from agentbridged.errors import Refused
from agentbridged.paths import Paths
from agentbridged.service import tools
from agentbridged.service.contract import Programs, ServiceStatus, end_if_possible

START_PATIENCE = 60.0
STOP_PATIENCE = 20.0
"""Seconds: an orderly end takes up to 15."""
NOBODY = "there is no service manager here: nothing starts it after a crash or a reboot"


class Plain:
    """The service, run by nobody but itself; *serves* tells whether the daemon answers."""

    def __init__(
        self,
        paths: Paths,
        serves: Callable[[], bool],
        end_leftovers: Callable[[Programs], None],
    ) -> None:
        self._paths, self._serves, self._end_leftovers = paths, serves, end_leftovers

    def install(self, programs: Programs, *, linger: bool) -> list[str]:
        """Say that there is nothing to install."""
        return ["nothing to install", NOBODY, "`agentbridgectl service start` runs it until then"]

    def uninstall(self, programs: Programs) -> list[str]:
        """End it; there is nothing else to remove."""
        notes = [self._end(), *end_if_possible(self._end_leftovers, programs)]
        return [*notes, "nothing else is to be removed"]

    def start(self, programs: Programs) -> list[str]:
        """Start it, wait until it serves, and leave it running."""
        if running := lock.holder(self._paths.lock_file):
            return [f"it runs already, pid {running.pid}"]
        process = subprocess.Popen(
            programs.daemon,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,  # for what ends the start; its log has all that comes later
            start_new_session=True,
        )
        assert process.stderr is not None
        with process.stderr as said:

            def serves() -> bool:
                if self._serves():
                    return True
                if process.poll() is not None:
                    last = said.read().decode(errors="replace").strip().splitlines() or ["no word"]
                    raise Refused(f"it ended with status {process.returncode}: {last[-1]}")
                return False

            problem = f"it does not serve within {START_PATIENCE:g} s"
            tools.wait(serves, START_PATIENCE, problem, every=0.05)
        process.returncode = 0  # it outlives us on purpose, and Popen would mourn it
        return [f"it serves, pid {process.pid}; its log is {self._paths.log_file}", NOBODY]

    def stop(self, programs: Programs) -> list[str]:
        """End it in order, or in time, and what it left."""
        note = self._end()
        self._end_leftovers(programs)
        return [note]

    def restart(self, programs: Programs) -> list[str]:
        """Stop it and start it."""
        self.stop(programs)
        return self.start(programs)

    def status(self) -> ServiceStatus:
        """Tell by its lock file."""
        running = lock.holder(self._paths.lock_file)
        return ServiceStatus(
            manager="none",
            installed=False,
            enabled=False,
            state="inactive" if running is None else "active",
            pid=None if running is None else running.pid,
            file=None,
            notes=[NOBODY],
        )

    def _end(self) -> str:
        running = lock.holder(self._paths.lock_file)
        if running is None:
            return "it was not running"
        try:
            process = psutil.Process(running.pid)
            process.terminate()
            process.wait(STOP_PATIENCE)
        except psutil.NoSuchProcess:
            pass
        except psutil.TimeoutExpired:
            process.kill()
            return f"it did not end in {STOP_PATIENCE:g} s and was killed, with its children"
        return "it has ended, and its children with it"
