"""
What the two managed children are started with: program, arguments, environment, sockets.

The app-server listens on the control socket that plain ``codex`` looks for. When it could not be
had there, ours is started on a private socket, which only TUIs behind the proxy reach.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agentbridged.children import liveness
from agentbridged.children.environment import LoginEnvironment, find_program, scrubbed
from agentbridged.children.process import Launch
from agentbridged.codex.server import control_socket, listener
from agentbridged.config import Config
from agentbridged.errors import ConfigError
from agentbridged.machines.child import RestartPolicy
from agentbridged.paths import Paths

PROXY = RestartPolicy(
    start_timeout=10, stop_timeout=1, backoff=(0.1, 0.1, 0.2, 0.5, 1, 2, 5), steady_after=2
)
"""The first restarts are quick, as a TUI waits; killed by hand now and then, it is no FATAL."""
APP_SERVER = RestartPolicy(
    start_timeout=20, stop_timeout=1, backoff=(0.2, 0.5, 1, 2, 5), steady_after=3
)

log = logging.getLogger(__name__)


def own_module(name: str) -> list[str]:
    """Return the command that runs a module of ours, out of the tree that we run from."""
    tree = Path(__file__).parent.parent
    if (tree / "agentbridge_tree.py").exists():  # a package's private tree (packaging/stage.py)
        return [sys.executable, "-I", str(tree), name]
    return [sys.executable, "-m", name]


class Launches:
    """How the children are started, for one user."""

    def __init__(
        self, paths: Paths, environment: Mapping[str, str], config: Callable[[], Config]
    ) -> None:
        self._paths = paths
        self._own = dict(environment)
        self._config = config
        self._login = LoginEnvironment(environment)
        self._codex_environment = scrubbed(environment)
        self._private = False
        self.reason = ""
        """Why our app-server is not on the control socket; empty when it is."""

    async def prepare(self) -> None:
        """Learn the environment that Codex gets; bounded, and asked for once."""
        if self._config().codex.environment == "login-shell":
            self._codex_environment = await self._login.get()

    def forget(self) -> None:
        """Begin anew: the user says that something changed."""
        self._login.forget()
        self._private, self.reason = False, ""

    def proxy(self, generation: int) -> Launch:
        """Return how to start this generation of the proxy."""
        return Launch(
            argv=[
                *own_module("agentbridged.proxy"),
                *("--codex-socket", str(self._paths.codex_socket)),
                *("--link-socket", str(self._paths.proxy_socket)),
                *("--app-server-record", str(self._paths.child_record("app-server"))),
                *("--generation", str(generation)),
            ],
            env=scrubbed(self._own),
            cwd=self._paths.state,
            log=self._paths.child_log("proxy"),
        )

    def app_server(self, generation: int) -> Launch:
        """Return how to start our app-server; raises :exc:`ConfigError` when there is no Codex."""
        where = f"unix://{self._paths.private_app_server_socket if self._private else ''}"
        codex, environment = self._codex(), dict(self._codex_environment)
        beside = str(Path(codex).parent)
        if beside not in environment.get("PATH", "").split(os.pathsep):
            # A script's interpreter lies beside it, where nvm and its like put both.
            environment["PATH"] = os.pathsep.join(filter(None, [environment.get("PATH"), beside]))
        return Launch(
            argv=[codex, "app-server", "--listen", where],
            env=environment,
            cwd=Path(self._codex_environment.get("HOME") or "/"),
            log=self._paths.child_log("app-server"),
        )

    def _found(self) -> str | None:
        home = Path(self._codex_environment.get("HOME") or "/")
        path = self._codex_environment.get("PATH", os.defpath)
        return find_program("codex", self._own.get("AGENTBRIDGE_CODEX"), path, home)

    def _codex(self) -> str:
        if (found := self._found()) is not None:
            return found
        named = self._own.get("AGENTBRIDGE_CODEX")
        problem = (
            f"{named} is no program; name Codex's own here"
            if named
            else "codex is not found on PATH; install Codex, or name its program here"
        )
        raise ConfigError("AGENTBRIDGE_CODEX", f"{problem}, then `agentbridgectl reload`")

    def status(self) -> dict[str, Any]:
        """Return the ``environment`` object of the admin API's ``status``: names, never values."""
        source = self._config().codex.environment
        asked = self._login.status() if source == "login-shell" else {}
        names = asked.pop("names", sorted(self._codex_environment))
        return {"source": source, **asked, "names": names, "codex": self._found()}

    def codex_exists(self) -> bool:
        """Whether there is a Codex to be started at all."""
        return self._found() is not None

    def use_private_socket(self, problem: str) -> bool:
        """Give up the control socket for our app-server; says whether that is new."""
        new, self._private = not self._private, True
        self.reason = (
            f"on a private socket, where only `agentbridgectl codex` reaches it: {problem}"
        )
        return new

    def app_server_sockets(self) -> list[Path]:
        """Return where an app-server may be found, the best first."""
        control = control_socket(self._codex_environment)
        return [control, *([self._paths.private_app_server_socket] if self._private else [])]

    async def app_server_ready(self) -> bool:
        """Whether our app-server listens."""
        return listener(self.app_server_sockets()[-1]) is not None

    async def proxy_ready(self) -> bool:
        """Whether the proxy listens."""
        return listener(self._paths.codex_socket) is not None

    @staticmethod
    def name_of(pid: int | None) -> str:
        """Name a process so that no later one with its pid has the same name."""
        identity = None if pid is None else liveness.identify(pid)
        return f"{pid}" if identity is None else f"{identity.pid}:{identity.create_time:.2f}"
