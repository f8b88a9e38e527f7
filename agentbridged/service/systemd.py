"""
The daemon as a unit of the user's systemd.

A packaged program has a packaged unit, and only that is used; for every other installation the same
unit is rendered with its absolute paths. ``systemctl`` reaches a user's manager by
``XDG_RUNTIME_DIR``, which ``su`` and bare ``ssh`` may lack or have of another user.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path

from agentbridged.errors import AgentBridgeError, Refused, Unavailable
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

UNIT = "agentbridge.service"
MARK = "# Written by `agentbridgectl service install`; your own settings belong into a drop-in"
"""How we know a unit of ours (``systemctl --user edit agentbridge`` makes the drop-in)."""
PACKAGED = tuple(Path(d) / UNIT for d in ("/usr/lib/systemd/user", "/lib/systemd/user"))
PACKAGED_PROGRAM = "/usr/bin/agentbridged"
DISABLED = "it is stopped, and is not started at login any more; the unit is the package's"
RUNTIME = Path("/run/user")
MANAGER_PATIENCE = 15.0
"""Seconds for the user's manager to come up once it lingers."""
BOOTED = Path("/run/systemd/system")
"""There when the machine was booted with systemd (sd_booted(3))."""


def is_here() -> bool:
    """Whether systemd runs this machine."""
    return BOOTED.is_dir()


def is_being_stopped() -> bool:
    """Whether the unit's end was asked for, so that no start follows by itself."""
    try:
        return bool(re.search(r"\s(stop|restart)\s", _systemctl("list-jobs", "--plain", UNIT).out))
    except AgentBridgeError:
        return True  # the manager itself is ending


def render(programs: Programs, variables: Mapping[str, str]) -> str:
    """Return the unit for an installation that lies elsewhere than a package's."""
    text = resources.files("agentbridged.service").joinpath(UNIT).read_text(encoding="utf-8")
    words = {"agentbridged": programs.daemon, "agentbridgectl": programs.ctl}

    def absolute(line: re.Match[str]) -> str:
        return line[1] + " ".join(map(_quoted, words[line[2]]))

    text = re.sub(r"(?m)^(Exec\w+=-?)/usr/bin/(agentbridged|agentbridgectl)\b", absolute, text)
    lines = [f"Environment={_quoted(f'{name}={value}')}" for name, value in variables.items()]
    text = text.replace("[Service]\n", "\n".join(["[Service]", *lines, ""]), 1)
    return f"{MARK}\n{text}"


def _quoted(word: str) -> str:
    """Quote a word for a unit, where "%" begins a specifier."""
    if not word.isprintable():
        raise Refused(f"a unit cannot name {word!r}")
    return '"' + re.sub(r'(["\\])', r"\\\1", word).replace("%", "%%") + '"'


class Systemd:
    """The service below ``systemctl --user``."""

    def __init__(
        self, paths: Paths, config_home: Path, end_leftovers: Callable[[Programs], None]
    ) -> None:
        self._paths = paths
        self._end_leftovers = end_leftovers
        self.file = config_home / "systemd" / "user" / UNIT

    def install(self, programs: Programs, *, linger: bool) -> list[str]:
        """Write the unit, unless it is a package's, and enable it."""
        notes = [_enable_linger()] if linger else []
        self._refuse_foreign()
        packaged = programs.daemon == (PACKAGED_PROGRAM,) and any(p.exists() for p in PACKAGED)
        if packaged:
            if self._is_ours():
                self.file.unlink()
                notes.append(f"removed {self.file}: the package has the unit")
            notes.append("the unit is the package's")
        else:
            text = render(programs, carried())
            notes.append(f"{'wrote' if write(self.file, text) else 'unchanged:'} {self.file}")
        _asked("daemon-reload")
        _asked("enable", UNIT)
        notes.append("it starts at your next login, or now: `agentbridgectl service start`")
        return notes + _about_linger(_lingers())

    def uninstall(self, programs: Programs) -> list[str]:
        """Stop, end what it may have left, disable, and remove the unit if it is ours."""
        self._refuse_foreign()
        notes, is_reached = [], True
        try:
            self._stop_and_disable()
        except Unavailable:
            notes, is_reached = ["no service manager of yours runs, so nothing of it does"], False
        refuse_another(self._paths)
        notes += end_if_possible(self._end_leftovers, programs)
        if not self._is_ours():
            is_packaged = is_reached and self._packaged()
            return [*notes, DISABLED if is_packaged else "nothing of it was here"]
        self.file.unlink()
        wants = self.file.parent / "default.target.wants"
        (wants / UNIT).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # a drop-in of the user's, or another unit, keeps it
            for directory in (wants, self.file.parent, self.file.parent.parent):
                if directory.exists():
                    directory.rmdir()
        if is_reached:
            _systemctl("daemon-reload")
            _systemctl("reset-failed", UNIT)
        return [*notes, f"removed {self.file}"]

    def start(self, programs: Programs) -> list[str]:
        """Start the unit; it is up when it says READY."""
        self._must_be_there()
        if self._show("ActiveState") in ("inactive", "failed"):
            refuse_another(self._paths)
            _systemctl("reset-failed", UNIT)
        self._run("start")
        return [f"it serves, pid {self._show('MainPID')}", *_about_linger(_lingers())]

    def stop(self, programs: Programs) -> list[str]:
        """Stop the unit, and end what is left where ``ExecStopPost=`` had nothing to follow."""
        if self._show("ActiveState") in ("inactive", "failed"):
            refuse_another(self._paths)
            self._end_leftovers(programs)
            return ["it was not running"]
        self._run("stop")
        self._end_leftovers(programs)
        return ["it has ended, and its children with it"]

    def restart(self, programs: Programs) -> list[str]:
        """Restart the unit, children included."""
        self._must_be_there()
        if self._show("ActiveState") in ("inactive", "failed"):
            return self.start(programs)
        self._run("restart")
        return [f"it serves again, pid {self._show('MainPID')}"]

    def status(self) -> ServiceStatus:
        """Ask systemd and logind."""
        wanted = ("LoadState", "UnitFileState", "ActiveState", "MainPID", "FragmentPath")
        try:
            shown = _systemctl("show", UNIT, *(f"-p{name}" for name in wanted)).out
        except Unavailable as error:
            return ServiceStatus(
                "systemd", self.file.exists(), False, "unknown", None, None, None, [str(error)]
            )
        facts = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
        load, pid = facts.get("LoadState", ""), int(facts.get("MainPID") or 0)
        notes = [] if load == "loaded" else [_missing(load)]
        if facts.get("ActiveState") == "failed":
            notes.append(f"it failed: {_why()}")
        lingers = _lingers()
        return ServiceStatus(
            manager="systemd",
            installed=load == "loaded",
            enabled=facts.get("UnitFileState") == "enabled",
            state=facts.get("ActiveState", "unknown"),
            pid=pid or None,
            file=facts.get("FragmentPath") or None,
            lingers=lingers,
            notes=notes + (_about_linger(lingers) if load == "loaded" else []),
        )

    def _stop_and_disable(self) -> None:
        refuse_another(self._paths, ours=int(self._show("MainPID") or 0))
        _systemctl("stop", UNIT)  # also one whose file is gone, and that runs all the same
        if self._show("LoadState") not in ("not-found", "masked"):
            _systemctl("disable", UNIT)

    def _show(self, name: str) -> str:
        return _asked("show", UNIT, f"-p{name}").out.strip().partition("=")[2]

    def _packaged(self) -> bool:
        return self._show("FragmentPath") in map(str, PACKAGED)

    def _is_ours(self) -> bool:
        try:
            return self.file.read_text(encoding="utf-8").startswith(MARK)
        except OSError:
            return False

    def _refuse_foreign(self) -> None:
        if self.file.is_symlink() and os.readlink(self.file) == os.devnull:
            raise Refused(_missing("masked"))
        if os.path.lexists(self.file) and not self._is_ours():
            raise Refused(f"{self.file} is not ours; move it away and run this again")

    def _must_be_there(self) -> None:
        load = self._show("LoadState")
        if load != "loaded":
            raise Refused(_missing(load))

    def _run(self, verb: str) -> None:
        done = _systemctl(verb, UNIT)
        if done.code:
            raise Refused(f"it does not {verb}: {_why()}")


def _missing(load: str) -> str:
    if load == "masked":
        return f"{UNIT} is masked; `systemctl --user unmask agentbridge` first"
    if load == "not-found":
        return "the service is not installed; `agentbridgectl service install` does that"
    return f"systemd cannot load {UNIT} ({load}); `systemctl --user status agentbridge` says why"


def _why() -> str:
    """Return the daemon's own last words, else the manager's reason."""
    query = ("journalctl", "--user", f"_SYSTEMD_USER_UNIT={UNIT}", "-b", "-n", "1", "-o", "cat")
    with contextlib.suppress(AgentBridgeError):
        if said := tools.run(*query, "-q", patience=10).out.strip():
            return said
    return _systemctl("show", UNIT, "-pResult").out.strip()


def _systemctl(*arguments: str) -> tools.Done:
    """Run ``systemctl --user``; raises :exc:`Unavailable` when there is no manager to talk to."""
    if "XDG_RUNTIME_DIR" not in (environment := _environment()):
        raise Unavailable(
            "no service manager of yours runs: log in properly (su does not), or have it run "
            f"without a login: `sudo loginctl enable-linger {_user()}`"
        )
    done = tools.run("systemctl", "--user", *arguments, environment=environment)
    if done.code and "connect to bus" in done.err:
        raise Unavailable(f"your service manager cannot be reached: {done.reason}")
    return done


def _asked(*arguments: str) -> tools.Done:
    done = _systemctl(*arguments)
    if done.code:
        raise Refused(f"`systemctl --user {' '.join(arguments)}` failed: {done.reason}")
    return done


def _environment() -> dict[str, str]:
    """Return our environment with this user's own runtime directory, or without any."""
    environment = dict(os.environ)
    for place in (environment.pop("XDG_RUNTIME_DIR", ""), str(RUNTIME / str(os.getuid()))):
        if place and _is_mine(Path(place)):
            return {**environment, "XDG_RUNTIME_DIR": place}
    return environment


def _is_mine(place: Path) -> bool:
    try:
        return place.stat().st_uid == os.getuid()
    except OSError:
        return False


def _user() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


def _lingers() -> bool | None:
    try:
        shown = tools.run("loginctl", "show-user", _user(), "-pLinger", patience=10)
    except AgentBridgeError:
        return None
    # logind does not know who neither is logged in nor lingers
    return shown.out.strip() == "Linger=yes"


def _about_linger(lingers: bool | None) -> list[str]:
    if lingers:
        return []
    return [
        "it ends when you log out everywhere; "
        "`agentbridgectl service install --linger` lets it run from boot on"
    ]


def _enable_linger() -> str:
    if _lingers():
        return "it lingers already: it runs without a login"
    done = tools.run("loginctl", "enable-linger", patience=30)
    if done.code:
        raise Refused(
            f"you may not do that yourself here ({done.reason}); "
            f"have it done: `sudo loginctl enable-linger {_user()}`"
        )
    tools.wait(
        (RUNTIME / str(os.getuid()) / "systemd" / "private").exists,
        MANAGER_PATIENCE,
        f"it lingers now, but no service manager came in {MANAGER_PATIENCE:g} s",
    )
    return "it lingers now: it runs from boot on, without a login"
