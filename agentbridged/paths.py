"""
Where things live: sockets, state, configuration, logs. No other module builds such a path.

Defaults follow the XDG base directory specification on Linux; on macOS, Application Support and a
short directory under ``$TMPDIR`` (a Unix socket's path ends at 104 bytes there).
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agentbridged.errors import ConfigError

LOG_FILE = "agentbridged.log"
"""Name of the daemon's log, in the directory of logs."""
CHILDREN = ("proxy", "app-server")
"""The managed children, by name."""
SOCKET_PATH_LIMIT = 103
"""Bytes of a Unix socket's path: the smaller of Linux's 107 and macOS's 103."""


@dataclass(frozen=True)
class Paths:
    """Every path of one user's agentbridge."""

    runtime: Path
    state: Path
    config_file: Path

    @property
    def admin_socket(self) -> Path:
        """The admin API."""
        return self.runtime / "admin.sock"

    @property
    def claude_socket(self) -> Path:
        """Where Claude sessions' shims connect."""
        return self.runtime / "claude.sock"

    @property
    def codex_socket(self) -> Path:
        """Where Codex TUIs connect to the proxy."""
        return self.runtime / "codex.sock"

    @property
    def proxy_socket(self) -> Path:
        """The line between daemon and proxy."""
        return self.runtime / "proxy.sock"

    @property
    def lock_file(self) -> Path:
        """Held (flock) by the running daemon; its text is the daemon's pid and create time."""
        return self.runtime / "agentbridged.lock"

    @property
    def private_app_server_socket(self) -> Path:
        """Our app-server's socket when Codex's own control socket cannot be used."""
        return self.runtime / "app-server.sock"

    @property
    def database(self) -> Path:
        """The store."""
        return self.state / "agentbridge.db"

    @property
    def logs(self) -> Path:
        """Directory of the daemon's and its children's logs."""
        return self.state / "logs"

    @property
    def log_file(self) -> Path:
        """What the daemon logs, the newest part of it."""
        return self.logs / LOG_FILE

    @property
    def plugin(self) -> Path:
        """The Claude Code plugin as installed: rendered with this installation's own paths."""
        return self.state / "plugin"

    def child_record(self, name: str) -> Path:
        """What is known of a managed child, for the next daemon to adopt it by."""
        return self.runtime / f"{name}.child.json"

    @property
    def child_records(self) -> list[Path]:
        """What is known of every managed child."""
        return [self.child_record(name) for name in CHILDREN]

    def child_log(self, name: str) -> Path:
        """What a managed child printed."""
        return self.logs / f"{name}.log"

    @property
    def child_logs(self) -> list[Path]:
        """What every managed child printed."""
        return [self.child_log(name) for name in CHILDREN]

    def make(self) -> None:
        """
        Create the directories, private to this user.

        Raises :exc:`ConfigError` for a directory of somebody else's, or a socket path too long. A
        state directory that cannot be written is no error: the store says so, and does without.
        """
        longest = max(len(os.fsencode(p)) for p in (self.private_app_server_socket, self.lock_file))
        if longest > SOCKET_PATH_LIMIT:
            raise ConfigError(
                "AGENTBRIDGE_RUNTIME_DIR",
                f"{self.runtime} is too long for a Unix socket; use a shorter directory",
            )
        make_private(self.runtime, "AGENTBRIDGE_RUNTIME_DIR")
        try:
            make_private(self.state, "AGENTBRIDGE_STATE_DIR")
            make_private(self.logs, "AGENTBRIDGE_STATE_DIR")
        except ConfigError as error:
            if not isinstance(error.__cause__, OSError):
                raise


def from_environment(environment: Mapping[str, str] = os.environ) -> Paths:
    """
    Work out the paths from environment variables.

    An empty variable counts as unset; a relative one raises :exc:`ConfigError`.
    """
    home = Path(environment.get("HOME") or Path.home())
    mac = sys.platform == "darwin"
    support = home / "Library" / "Application Support" / "agentbridge"

    def pick(own: str, xdg: str, default: Path) -> Path:
        if value := environment.get(own):
            return _absolute(own, value)
        if not mac and (value := environment.get(xdg)):
            return _absolute(xdg, value) / "agentbridge"
        return default

    return Paths(
        runtime=pick("AGENTBRIDGE_RUNTIME_DIR", "XDG_RUNTIME_DIR", _fallback_runtime(environment)),
        state=pick(
            "AGENTBRIDGE_STATE_DIR",
            "XDG_STATE_HOME",
            support if mac else home / ".local" / "state" / "agentbridge",
        ),
        config_file=(
            _absolute("AGENTBRIDGE_CONFIG", value)
            if (value := environment.get("AGENTBRIDGE_CONFIG"))
            else pick("", "XDG_CONFIG_HOME", support if mac else home / ".config" / "agentbridge")
            / "config.toml"
        ),
    )


def _absolute(variable: str, value: str) -> Path:
    path = Path(value)
    if not path.is_absolute():
        raise ConfigError(variable, f"{value!r} is not an absolute path")
    return path


def _fallback_runtime(environment: Mapping[str, str]) -> Path:
    login = Path(f"/run/user/{os.getuid()}")
    if login.is_dir() and os.access(login, os.W_OK):
        return login / "agentbridge"
    return Path(environment.get("TMPDIR") or "/tmp") / f"agentbridge-{os.getuid()}"


def make_private(directory: Path, field: str) -> None:
    """Create *directory* with mode 0700; raises :exc:`ConfigError` naming *field* if it cannot."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = directory.stat()
        if found.st_uid != os.getuid():
            raise ConfigError(field, f"{directory} belongs to uid {found.st_uid}, not to you")
        if stat.S_IMODE(found.st_mode) != 0o700:
            directory.chmod(0o700)
    except OSError as error:
        raise ConfigError(field, f"cannot use {directory}: {error.strerror}") from error


def project_root(directory: Path) -> Path:
    """Return the git top level that holds *directory*, else the directory itself, resolved."""
    resolved = directory.resolve()
    for candidate in (resolved, *resolved.parents):
        if (candidate / ".git").exists():
            return candidate
    return resolved


def bridge_id(root: Path) -> str:
    """Return the id of the bridge of a project root: ``<slug>-<8 hex of sha256(root)>``."""
    slug = re.sub(r"[^a-z0-9]+", "-", root.name.lower()).strip("-")[:40] or "root"
    return f"{slug}-{hashlib.sha256(os.fsencode(root)).hexdigest()[:8]}"
