"""
The daemon as a LaunchAgent of its user, on macOS.

``launchctl bootout`` returns before the job is gone, and a bootstrap that comes too soon fails with
status 5; so both are tried again for a bounded while. Without a GUI login there is no domain
``gui/UID``; then the job runs in ``user/UID``.
"""

from __future__ import annotations

import contextlib
import os
import plistlib
import re
import threading
import time
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from agentbridged.errors import Refused
from agentbridged.notify import LABEL
from agentbridged.paths import Paths
from agentbridged.service import tools
from agentbridged.service.contract import (
    Programs,
    ServiceStatus,
    carried,
    end_if_possible,
    refuse_another,
    write,
)

MARK = "<!-- Written by `agentbridgectl service install`. -->"
SOON = 15.0
"""Seconds in which a bootstrap must succeed that is refused because an old job is still ending."""
START_PATIENCE = 60.0
STOP_PATIENCE = 50.0
"""Seconds for a job to be gone: the agent's ExitTimeOut is 45."""
BUSY = frozenset({5, 36, 37})
"""What bootstrap says while the old job is going: I/O error, operation (already) in progress."""

_never = threading.Event()


def render(programs: Programs, home: Path, search_path: str, variables: Mapping[str, str]) -> str:
    """Return the agent with everything written out: launchd expands neither "~" nor "$"."""
    name = f"{LABEL}.plist"
    template = resources.files("agentbridged.service").joinpath(name).read_bytes()
    job: dict[str, Any] = plistlib.loads(template)
    # launchd starts a job in a bare world; relative entries would mean its "/".
    absolute = [entry for entry in search_path.split(":") if entry.startswith("/")]
    job["ProgramArguments"] = list(programs.daemon)
    job["WorkingDirectory"] = str(home)
    job["EnvironmentVariables"] = {**variables, "PATH": ":".join(dict.fromkeys(absolute))}
    for key in ("StandardOutPath", "StandardErrorPath"):
        job[key] = job[key].replace("@HOME@", str(home))
    text = plistlib.dumps(job, sort_keys=False).decode()
    head, doctype, rest = text.split("\n", 2)
    return "\n".join([head, doctype, MARK, rest])


class Launchd:
    """The service below ``launchctl``; *serves* tells whether the daemon answers."""

    def __init__(
        self,
        paths: Paths,
        home: Path,
        search_path: Callable[[], str],
        serves: Callable[[], bool],
        end_leftovers: Callable[[Programs], None],
    ) -> None:
        self._paths, self._home = paths, home
        self._search_path, self._serves = search_path, serves
        self._end_leftovers = end_leftovers
        self.file = home / "Library" / "LaunchAgents" / f"{LABEL}.plist"
        self._logs = home / "Library" / "Logs" / "agentbridge"

    def install(self, programs: Programs, *, linger: bool) -> list[str]:
        """Write the agent; a running one keeps what it was started with until a restart."""
        if linger:
            raise Refused("--linger is systemd's; a LaunchAgent runs while its user is logged in")
        self._refuse_foreign()
        text = render(programs, self._home, self._search_path(), carried())
        self._logs.mkdir(parents=True, exist_ok=True)  # launchd makes no directories
        wrote = write(self.file, text)
        notes = [f"{'wrote' if wrote else 'unchanged:'} {self.file}"]
        if wrote and self._loaded():
            notes.append("it runs as it was; `agentbridgectl service restart` applies this")
        return [*notes, "it starts at your next login, or now: `agentbridgectl service start`"]

    def uninstall(self, programs: Programs) -> list[str]:
        """Boot it out, end what it may have left, and remove the agent."""
        self._refuse_foreign()
        shown = self._print()
        refuse_another(self._paths, ours=_pid(shown))
        if shown is not None:
            self._boot_out()
        notes = end_if_possible(self._end_leftovers, programs)
        if not self.file.exists():
            return [*notes, "nothing of it was here"]
        self.file.unlink()
        (self._logs / "agentbridged.log").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._logs.rmdir()
        return [*notes, f"removed {self.file}"]

    def start(self, programs: Programs) -> list[str]:
        """Load the job, which starts it, or start the loaded one; return when it serves."""
        if not self.file.exists():
            raise Refused(
                "the service is not installed; `agentbridgectl service install` does that"
            )
        domain, notes = self._domain()
        shown = self._print()
        if _pid(shown) is not None:
            return ["it runs already", *notes]
        refuse_another(self._paths)
        if shown is None:
            self._bootstrap(domain)
        else:
            done = tools.run("launchctl", "kickstart", job := f"{domain}/{LABEL}")
            if done.code:
                raise Refused(f"launchctl kickstart {job} failed: {done.reason}")
        _await(self._serves, START_PATIENCE, f"it does not serve; see {self._logs}")
        return [f"it serves, pid {_pid(self._print())}", *notes]

    def stop(self, programs: Programs) -> list[str]:
        """Boot it out, and end what it may have left; the agent stays for the next login."""
        if not self._loaded():
            refuse_another(self._paths)
            self._end_leftovers(programs)
            return ["it was not running"]
        self._boot_out()
        self._end_leftovers(programs)
        return ["it has ended, and its children with it; it starts again at your next login"]

    def restart(self, programs: Programs) -> list[str]:
        """Boot it out and in again, so that a changed agent is read."""
        if self._loaded():
            self.stop(programs)
        return self.start(programs)

    def status(self) -> ServiceStatus:
        """Read what ``launchctl print`` says; only three of its lines are known to stay."""
        shown = self._print()
        notes = [] if self.file.exists() else ["the service is not installed"]
        code = _line(shown, "last exit code")
        if code not in ("", "0", "(never exited)"):
            notes.append(f"its last exit code is {code}; see {self._logs}")
        return ServiceStatus(
            manager="launchd",
            installed=self.file.exists(),
            enabled=self.file.exists(),
            state=_line(shown, "state") or "loaded" if shown is not None else "inactive",
            pid=_pid(shown),
            file=str(self.file) if self.file.exists() else None,
            notes=[*notes, *self._domain()[1]],
        )

    def _domain(self) -> tuple[str, list[str]]:
        user = os.getuid()
        if tools.run("launchctl", "print", f"gui/{user}").code == 0:
            return f"gui/{user}", []
        return f"user/{user}", [
            "nobody is logged in at the screen: it runs in the background session, "
            "without access to the keychain's dialogs"
        ]

    def _print(self) -> str | None:
        for kind in ("gui", "user"):
            done = tools.run("launchctl", "print", f"{kind}/{os.getuid()}/{LABEL}")
            if done.code == 0:
                return done.out
        return None

    def _loaded(self) -> bool:
        return self._print() is not None

    def _bootstrap(self, domain: str) -> None:
        # Somebody may have disabled it once; that is kept apart from the agent.
        tools.run("launchctl", "enable", f"{domain}/{LABEL}")
        deadline = time.monotonic() + SOON
        while (done := tools.run("launchctl", "bootstrap", domain, str(self.file))).code:
            if done.code not in BUSY or time.monotonic() > deadline:
                raise Refused(f"launchctl bootstrap {domain} failed: {done.reason}")
            _never.wait(0.5)

    def _boot_out(self) -> None:
        for kind in ("gui", "user"):
            where = f"{kind}/{os.getuid()}/{LABEL}"
            if tools.run("launchctl", "print", where).code == 0:
                tools.run("launchctl", "bootout", where)  # says 36 while the job is ending
        _await(lambda: not self._loaded(), STOP_PATIENCE, "launchd does not end it")

    def _refuse_foreign(self) -> None:
        if self.file.exists() and MARK not in self.file.read_text(encoding="utf-8"):
            raise Refused(f"{self.file} is not ours; move it away and run this again")


def _await(look: Callable[[], bool], patience: float, problem: str) -> None:
    tools.wait(look, patience, f"{problem} (waited {patience:g} s)", every=0.2)


def _pid(shown: str | None) -> int | None:
    pid = _line(shown, "pid")
    return int(pid) if pid.isdecimal() else None


def _line(shown: str | None, name: str) -> str:
    found = re.search(rf"(?m)^\s*{name} = (.*)$", shown or "")
    return found[1].strip() if found else ""
