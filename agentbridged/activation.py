"""
Sockets that the service manager opened for us before it started us (sd_listen_fds(3)).

Only what is addressed to this process is taken. What cannot be right ends the start with one line,
since a daemon that listens elsewhere than it is told to would be silent for no visible reason.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from agentbridged.errors import ConfigError

FIRST = 3
"""The number of the first descriptor (SD_LISTEN_FDS_START)."""


def inherited(
    environment: Mapping[str, str], known: Mapping[str, str], *, first: int = FIRST
) -> dict[str, socket.socket]:
    """
    Return the listening sockets we were given, by name, non-blocking.

    *known* has for each name (``FileDescriptorName=`` of the socket unit) the path that it must
    listen on. Raises :exc:`ConfigError` naming the variable that is wrong.
    """
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return {}  # none, or they were for a process before us, as sd_listen_fds(3) has it
    names = _names(environment)
    sockets: dict[str, socket.socket] = {}
    try:
        for number, name in enumerate(names, first):
            if name not in known or name in sockets:
                expected = ", ".join(known)
                raise ConfigError("LISTEN_FDNAMES", f"{name!r} is not one of: {expected}, once")
            sockets[name] = _listener(number, name, known[name])
    except ConfigError:
        for taken in sockets.values():
            taken.close()
        raise
    return sockets


def _names(environment: Mapping[str, str]) -> list[str]:
    given = environment.get("LISTEN_FDS", "")
    if not (given.isascii() and given.isdecimal()):
        raise ConfigError("LISTEN_FDS", f"{given!r} is no number of sockets")
    names = [name for name in environment.get("LISTEN_FDNAMES", "").split(":") if name]
    if len(names) != int(given):
        raise ConfigError("LISTEN_FDNAMES", f"names {len(names)} sockets, and there are {given}")
    return names


def _listener(number: int, name: str, path: str) -> socket.socket:
    try:
        found = socket.socket(fileno=number)
    except OSError as error:
        raise ConfigError("LISTEN_FDS", f"descriptor {number} is no socket") from error
    try:
        _check(found, name, path)
    except ConfigError:
        found.close()
        raise
    found.setblocking(False)
    os.set_inheritable(number, False)
    return found


def _check(found: socket.socket, name: str, path: str) -> None:
    streams = found.family == socket.AF_UNIX and found.type == socket.SOCK_STREAM
    if not streams or not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise ConfigError("LISTEN_FDS", f"{name} is no Unix stream socket that listens")
    if found.getsockname() != path:
        raise ConfigError("LISTEN_FDS", f"{name} listens on {found.getsockname()}, not on {path}")
