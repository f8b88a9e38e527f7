"""
What the daemon and its Codex proxy say to each other: one JSON object a line.

The proxy listens on ``proxy.sock`` and outlives the daemon, so the daemon connects, to a proxy it
started or to one it adopts. The proxy first says :class:`Hello`, then :class:`TuiCame` and
:class:`TuiShows` for each connection it has, then news as it happens. A line never carries text
of a conversation.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from agentbridged.errors import ProtocolError


class Hello(Struct, tag="hello"):
    """Proxy → daemon, first: who this is."""

    pid: int
    generation: int
    version: str


class TuiCame(Struct, tag="tui_came"):
    """Proxy → daemon: a TUI connected; *tui* numbers connections within a proxy's generation."""

    tui: int
    pid: int
    """The TUI's process, from the socket's peer credentials; 0 when unknown."""


class TuiShows(Struct, tag="tui_shows"):
    """Proxy → daemon: the thread this TUI shows now, by its latest-issued switch."""

    tui: int
    thread_id: str


class TuiLeft(Struct, tag="tui_left"):
    """Proxy → daemon: a TUI's connection ended."""

    tui: int


class Upstream(Struct, tag="upstream"):
    """Daemon → proxy: the app-server's socket; an empty path means there is none now."""

    path: str
    generation: int


class Shutdown(Struct, tag="shutdown"):
    """Daemon → proxy: close the TUIs' connections with 1001 and exit."""


FromProxy = Hello | TuiCame | TuiShows | TuiLeft
FromDaemon = Upstream | Shutdown

_from_proxy: msgspec.json.Decoder[FromProxy] = msgspec.json.Decoder(FromProxy)
_from_daemon: msgspec.json.Decoder[FromDaemon] = msgspec.json.Decoder(FromDaemon)


def encode(message: FromProxy | FromDaemon) -> bytes:
    """Write one message as a line."""
    return msgspec.json.encode(message) + b"\n"


def decode_from_proxy(line: bytes) -> FromProxy:
    """Read what the proxy said; raises :exc:`ProtocolError` naming the field."""
    try:
        return _from_proxy.decode(line)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ProtocolError(f"from the proxy: {error}") from error


def decode_from_daemon(line: bytes) -> FromDaemon:
    """Read what the daemon said; raises :exc:`ProtocolError` naming the field."""
    try:
        return _from_daemon.decode(line)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ProtocolError(f"from the daemon: {error}") from error
