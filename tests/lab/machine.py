"""
A machine with a real systemd: private namespaces on a throw-away copy of this one's files.

    with Machine.booted() as machine:
        machine.run("systemctl", "--user", "start", "agentbridge")  # as its user, logged in
        machine.run("dpkg", "-i", "/some.deb", root=True)
        machine.reboot()  # what was written stays

Its user is :data:`PERSON`, with a user manager, a session bus and a journal; the manager lingers
unless ``linger=False``. ``/tmp`` and ``/run`` are new and empty; of other file systems only the
directories that ``show`` names are there, read-only, and the user can get to those although they
may lie below ``/root``. Files go in and out by ``run``'s input and output. With ``network="host"``
the machine shares our network, for apt and for servers of the test on 127.0.0.1; else it has one of
its own with nothing but ``lo``. ``tree`` is another root file system to boot, one made by
debootstrap say; it stays as it is.

Booting takes one to two seconds; :func:`why_not` says why it cannot be done here. Linux, root, and
cgroup2 are needed. ``MemoryMax=`` and the like have no effect where cgroup v1 has the controllers.
``python -m tests.lab.machine [COMMAND…]`` boots one and runs a command (a shell) in it as the user.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

import psutil

from tests.lab.waiting import NeverHappened, until

PERSON = "ann"
HOME = Path("/home") / PERSON
"""Where that user lives, inside."""

BOOT = Path(__file__).with_name("boot.sh")
STATE = Path("/run/agentbridge-machines")
"""A directory and a lock for each machine that is up; those of killed tests go with the next."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TOOLS = ("bash", "unshare", "nsenter", "setpriv", "pivot_root", "ip", "dbus-daemon", "loginctl")
NAMESPACES = ("--mount", "--pid", "--cgroup", "--uts", "--ipc", "--fork", "--kill-child")
COMMAND_PATIENCE = 120.0
"""Seconds a command in the machine may take, unless the test gives it more."""


@functools.cache
def why_not() -> str:
    """Say in a few words why no machine can be booted here; empty when one can."""
    if sys.platform != "linux":
        return "a real systemd needs Linux"
    if os.getuid() != 0:
        return "a real systemd needs root to boot"
    path = f"{PATH}:{os.environ.get('PATH', '')}"
    if missing := [tool for tool in TOOLS if not shutil.which(tool, path=path)]:
        return f"a real systemd needs {', '.join(missing)}"
    if not Path("/lib/systemd/systemd").exists() or not any(_pam_modules()):
        return "a real systemd needs systemd and libpam-systemd"
    if _cgroup2() is None:
        return "a real systemd needs a cgroup2 that can be written"
    tried = subprocess.run(
        ["unshare", *NAMESPACES, "--net", "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    return f"no namespaces: {tried.stderr.strip()}" if tried.returncode else ""


def _pam_modules() -> Iterator[Path]:
    for libraries in (Path("/lib"), Path("/lib64"), Path("/usr/lib64")):
        yield from libraries.glob("security/pam_systemd.so")
        yield from libraries.glob("*/security/pam_systemd.so")


def _cgroup2() -> Path | None:
    """Return where cgroup2 is mounted, if groups can be made there."""
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        _, where, kind, *_ = line.split()
        if kind == "cgroup2" and os.access(where, os.W_OK):
            return Path(where)
    return None


class Machine:
    """One booted machine."""

    def __init__(
        self,
        *,
        show: Iterable[Path] = (),
        network: Literal["private", "host"] = "private",
        linger: bool = True,
        tree: Path = Path("/"),
    ) -> None:
        STATE.mkdir(exist_ok=True)
        _remove_abandoned()
        self.name = f"m{secrets.token_hex(4)}"
        self._lingers = linger
        self._lock = STATE.joinpath(f"{self.name}.lock").open("w", encoding="utf-8")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._directory = STATE / self.name
        self._layers = self._directory / "layers"
        self._layers.mkdir(parents=True)
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "mode=0755,size=75%", "machine", str(self._layers)],
            check=True,
        )
        cgroup2 = _cgroup2()
        assert cgroup2 is not None, why_not()
        self._cgroup = cgroup2 / f"agentbridge.{self.name}"
        binds, reachable = _shown(show, tree)
        self._network = network
        self._variables = {
            "PATH": PATH,
            "NAME": self.name,
            "TREE": str(tree),
            "ROOT": str(self._directory / "root"),
            "LAYERS": str(self._layers),
            "PERSON": PERSON,
            "NETWORK": network,
            "LINGER": str(int(linger)),
            "BINDS": "\n".join(f"{path}\t{path}" for path in binds),
            "REACHABLE": "\n".join(map(str, reachable)),
        }
        self._namespaces: subprocess.Popen[bytes] | None = None
        self._init = 0

    @classmethod
    @contextlib.contextmanager
    def booted(cls, **options: Any) -> Iterator[Self]:
        """Boot a machine, and remove all of it in the end."""
        machine = cls(**options)
        try:
            machine.boot()
            yield machine
        finally:
            machine.close()

    def boot(self) -> None:
        """Start systemd and wait until the system, and the user's manager if it lingers, are up."""
        self._cgroup.mkdir(exist_ok=True)
        network = [] if self._network == "host" else ["--net"]
        # It joins its cgroup first, so that this is the root of its cgroup namespace; and it dies
        # with us, so that a killed test leaves no running machine.
        script = 'echo $$ >"$1/cgroup.procs"; shift; exec setpriv --pdeathsig KILL -- "$@"'
        unshare = ["unshare", *NAMESPACES, *network, "--", str(BOOT)]
        with self._boot_log.open("ab") as log:
            self._namespaces = subprocess.Popen(
                ["bash", "-c", script, "boot", str(self._cgroup), *unshare],
                env=self._variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._init = until(self._find_init, "systemd runs", explain=self._boot_says)
        until(self._is_up, "the system is up", explain=self._boot_says)
        if self._lingers:
            until(self._user_is_up, "the user's manager is up", explain=self._boot_says)

    def run(
        self,
        *command: str | Path,
        root: bool = False,
        check: bool = True,
        env: Mapping[str, str] | None = None,
        input: str = "",
        timeout: float = COMMAND_PATIENCE,
    ) -> subprocess.CompletedProcess[str]:
        """
        Run a command in a login session of the user (or as root) and return what it printed.

        With *check*, a status other than 0 fails the test with what was printed.
        """
        done = subprocess.run(
            self.command(*command, root=root, env=env),
            input=input,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
        if check:
            shown = " ".join(map(str, command))
            assert done.returncode == 0, f"{shown}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def command(
        self, *command: str | Path, root: bool = False, env: Mapping[str, str] | None = None
    ) -> list[str]:
        """Return the command line that runs *command* in the machine, for a Popen of one's own."""
        home = "/root" if root else str(HOME)
        variables = {"HOME": home} if root else _login_variables()
        options = ["--quiet", "--wait", "--collect", "--pipe", "--service-type=exec"]
        options += ["-p", "KillMode=mixed", "-p", "TimeoutStopSec=10"]
        options += [f"--working-directory={home}"]
        # A session as of a login: pam_systemd brings XDG_RUNTIME_DIR and the bus.
        options += [] if root else ["-p", f"User={PERSON}", "-p", "PAMName=login"]
        for name, value in {**variables, **(env or {})}.items():
            options += ["-E", f"{name}={value}"]
        return self._entered("systemd-run", *options, "--", *map(str, command))

    def journal(self, *options: str) -> str:
        """Return what was logged since the boot, in the user's units and the system's."""
        command = ("journalctl", "--no-pager", "-b", "-o", "short-monotonic", "--all")
        return self._control(*command, *options).stdout

    def processes(self, words: str = "") -> list[psutil.Process]:
        """Return its user's processes whose command line has *words*, with pids of our own view."""
        found = []
        for process in psutil.Process(self._init).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                mine = process.username() == PERSON or process.uids().real == 4242
                if mine and words in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def reboot(self) -> None:
        """Shut down in order and boot again with the same files."""
        self._shut_down()
        self.boot()

    def close(self) -> None:
        """Shut down and remove everything."""
        try:
            self._shut_down()
        finally:
            _remove(self._directory, self._cgroup)
            Path(self._lock.name).unlink()
            self._lock.close()

    def _shut_down(self) -> None:
        namespaces, self._namespaces = self._namespaces, None
        if namespaces is None or namespaces.poll() is not None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            # systemd(1): SIGRTMIN+4 powers off.
            psutil.Process(self._init).send_signal(signal.SIGRTMIN + 4)
        try:
            namespaces.wait(40)
        except subprocess.TimeoutExpired:
            namespaces.kill()
            namespaces.wait()
            raise NeverHappened(f"{self.name} did not shut down in order") from None

    def _find_init(self) -> int:
        assert self._namespaces
        if self._namespaces.poll() is not None:
            raise NeverHappened(f"the machine did not boot\n{self._boot_says()}")
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(self._namespaces.pid).children():
                if child.name() == "systemd":
                    return child.pid
        return 0

    def _is_up(self) -> bool:
        assert self._namespaces
        if self._namespaces.poll() is not None:
            raise NeverHappened(f"systemd ended while it booted\n{self._boot_says()}")
        return self._control("systemctl", "is-system-running").stdout.strip() in (
            "running",
            "degraded",
        )

    def _user_is_up(self) -> bool:
        unit = "user@4242.service"
        return self._control("systemctl", "is-active", unit).stdout.strip() == "active"

    @property
    def _boot_log(self) -> Path:
        return self._directory / "boot.log"

    def _boot_says(self) -> str:
        jobs = self._control("systemctl", "list-jobs").stdout if self._init else ""
        return self._boot_log.read_text(encoding="utf-8", errors="replace") + jobs

    def _control(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command that leaves nothing behind, outside of any session, as root."""
        return subprocess.run(
            self._entered(*command), capture_output=True, text=True, check=False, timeout=60
        )

    def _entered(self, *command: str) -> list[str]:
        enter = ["nsenter", "-t", str(self._init), "-m", "-p", "-u", "-i", "-n", "-C"]
        enter += ["--root", "--wd=/", "--", "env", "-i", f"PATH={PATH}", "LANG=C.UTF-8"]
        return [*enter, *command]


def _login_variables() -> dict[str, str]:
    return {"HOME": str(HOME), "USER": PERSON, "LOGNAME": PERSON, "SHELL": "/bin/bash"}


def _shown(show: Iterable[Path], tree: Path) -> tuple[list[Path], list[Path]]:
    """Return which directories must be mounted, and which the user must be able to pass."""
    binds, reachable = set(), set()
    for path in show:
        for place in (path.absolute(), path.resolve()):
            if tree != Path("/") or place.stat().st_dev != Path("/").stat().st_dev:
                binds.add(place)
            reachable |= set(place.parents) - {Path("/")}
    return sorted(binds), sorted(reachable)


def _remove_abandoned() -> None:
    """Remove what is left of machines whose test was killed."""
    for path in STATE.glob("*.lock"):
        with contextlib.suppress(OSError), path.open("r", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if cgroup2 := _cgroup2():
                _remove(path.with_suffix(""), cgroup2 / f"agentbridge.{path.stem}")
            path.unlink()


def _remove(directory: Path, cgroup: Path) -> None:
    if cgroup.is_dir():
        until(lambda: _emptied(cgroup), f"the end of {cgroup}", within=20)
    layers = directory / "layers"
    if layers.is_mount():
        subprocess.run(["umount", str(layers)], check=True)
    shutil.rmtree(directory, ignore_errors=True)


def _emptied(cgroup: Path) -> bool:
    """Remove the group and those below it; whether all are gone."""
    for directory, _, _ in os.walk(cgroup, topdown=False):
        with contextlib.suppress(OSError):
            Path(directory).rmdir()
    return not cgroup.exists()


def main() -> int:
    """Boot a machine and run a command in it as its user."""
    if reason := why_not():
        print(f"tests.lab.machine: {reason}", file=sys.stderr)
        return 1
    command = sys.argv[1:] or ["bash", "-i"]
    with Machine.booted() as machine:
        return subprocess.run(machine.command(*command), check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
