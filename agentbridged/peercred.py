"""
Private Unix sockets: who is at the other end, and how to listen so that only this user can come.

No other module reads peer credentials or binds a Unix socket. The kernel vouches for uid and pid
of a connected socket: SO_PEERCRED on Linux (unix(7)), LOCAL_PEERCRED and LOCAL_PEERPID on macOS
(unix(4)). Seen from the client, the credentials are those of the process that listens.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from agentbridged.errors import ConfigError, Refused
from agentbridged.paths import SOCKET_PATH_LIMIT

BACKLOG = 128

_SOL_LOCAL = 0
_LOCAL_PEERCRED = 1
_LOCAL_PEERPID = 2
_UCRED = struct.Struct("iII")
_XUCRED = struct.Struct("IIhxx16I")


class Connected(Protocol):
    """What is asked of a socket: :class:`socket.socket` and asyncio's own both fit."""

    def getsockopt(self, level: int, optname: int, buflen: int, /) -> Any:
        """As :meth:`socket.socket.getsockopt`."""


@dataclass(frozen=True)
class Peer:
    """The process at the other end when it connected (or listened); it may be gone by now."""

    uid: int
    pid: int | None
    """``None`` where the kernel does not tell, or the process lives in another pid namespace."""

    @property
    def is_us(self) -> bool:
        """Whether it runs as this process's user."""
        return self.uid == os.getuid()


def peer_of(connection: Connected) -> Peer:
    """
    Ask the kernel who is at the other end of a connected Unix socket.

    Raises :exc:`OSError` when the socket is closed or no Unix socket.
    """
    if sys.platform == "darwin":
        return _peer_on_macos(connection)
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, _gid = _UCRED.unpack(raw)
    return Peer(uid, pid or None)


def _peer_on_macos(connection: Connected) -> Peer:
    raw = connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, _XUCRED.size)
    uid = _XUCRED.unpack(raw)[1]
    pid = None
    with contextlib.suppress(OSError, struct.error):
        (pid,) = struct.unpack("i", connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERPID, 4))
    return Peer(uid, pid or None)


def listen_private(path: Path) -> socket.socket:
    """
    Listen on a Unix socket at *path* that only this user can connect to (mode 0600).

    Returns a non-blocking listening socket. What a dead process left at *path* is replaced; it is
    recognised by connecting, since the file outlives its process. Raises :exc:`Refused` when
    somebody listens there or it is no socket, :exc:`ConfigError` when the path cannot be used.
    """
    if len(os.fsencode(path)) > SOCKET_PATH_LIMIT:
        raise ConfigError(str(path), "too long for a Unix socket; use a shorter directory")
    _clear(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        listener.bind(os.fspath(path))
        # Before listen(), so that at no time can anybody else connect.
        path.chmod(0o600)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigError(str(path), f"cannot listen there: {error.strerror}") from error
    return listener


def is_listening(path: Path) -> Peer | None:
    """
    Tell who listens on the Unix socket at *path*, or :obj:`None` when nobody does.

    Never blocks. Raises :exc:`OSError` when it cannot be told (no permission, for one).
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fspath(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        except BlockingIOError:
            return Peer(path.lstat().st_uid, None)  # It listens; its backlog is full.
        return peer_of(probe)


def remove_socket(path: Path) -> None:
    """Remove the socket at *path* unless somebody listens on it; never raises."""
    with contextlib.suppress(OSError):
        if stat.S_ISSOCK(path.lstat().st_mode) and is_listening(path) is None:
            path.unlink()


def _clear(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(str(path), f"cannot listen there: {error.strerror}") from error
    if not stat.S_ISSOCK(mode):
        raise Refused(f"{path} is in the way and is no socket; move it away", kind="in_use")
    try:
        peer = is_listening(path)
        if peer is None:
            path.unlink(missing_ok=True)
            return
    except OSError as error:
        raise ConfigError(str(path), f"cannot listen there: {error.strerror}") from error
    who = "another process" if peer.pid is None else f"pid {peer.pid}"
    raise Refused(f"{path} is already served by {who}; stop it first", kind="in_use")
