"""
Which thread a TUI shows, read from the frames that pass; nothing is changed or held up.

A TUI switches by ``thread/start`` (a new one, ``/new``), ``thread/resume`` (also the picker, also
after a reconnect) or ``thread/fork``; the answer names the thread (measured, Codex 0.169.0). The
latest-issued switch wins: an answer to an older one changes nothing, and when the newest fails the
thread shown stays. A hidden helper thread, such as the one that makes a title, is ``ephemeral``
and no switch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Struct

from agentbridged.proxy import prefix
from agentbridged.wire.websocket import FrameHeader, Message, Walker, nothing

SMALL: Final = 64 * 1024
"""Bytes up to which a message is looked at whole."""

PREFIX: Final = 4 * 1024
"""Bytes looked at of a bigger one."""

SWITCHES = frozenset({"thread/start", "thread/resume", "thread/fork"})


class _Params(Struct):
    ephemeral: bool | None = None


class _Request(Struct):
    method: str = ""
    id: int | str | None = None
    params: _Params | None = None


class _Thread(Struct):
    id: str = ""
    ephemeral: bool | None = None


class _Result(Struct):
    thread: _Thread | None = None


class _Envelope(Struct):
    method: str | None = None
    id: int | str | None = None


class _Answer(Struct):
    result: _Result | None = None


_request = msgspec.json.Decoder(_Request)
_envelope = msgspec.json.Decoder(_Envelope)
_answer = msgspec.json.Decoder(_Answer)
_REQUEST_PATHS = frozenset({("method",), ("id",), ("params", "ephemeral")})
_ANSWER_PATHS = frozenset(
    {("method",), ("id",), ("result", "thread", "id"), ("result", "thread", "ephemeral")}
)


def some(header: FrameHeader) -> int:
    """Want a small message whole, and of a big one the beginning."""
    return SMALL if header.length <= SMALL else PREFIX


class Tap:
    """
    Follow both directions of one TUI's connection.

    *shows* is called with a thread's id when the TUI comes to show it; *lost* at most once, with
    the reason, when a direction stops being a WebSocket and is no longer followed.
    """

    def __init__(self, shows: Callable[[str], None], lost: Callable[[str], None]) -> None:
        self._shows = shows
        self._lost = lost
        self._newest: int | str | None = None  # id of the latest switch, until it is answered
        self._shown = ""
        self.asks = Walker(some)
        self.answers = Walker()

    def from_tui(self, data: memoryview | bytes) -> None:
        """Bytes passed from the TUI to the app-server."""
        for message in self.asks.feed(data):
            if b'"thread/' in message.data:
                self._asked(message)
        if self.asks.fault is not None:
            self._lose(self.asks.fault)

    def from_server(self, data: memoryview | bytes) -> None:
        """Bytes passed from the app-server to the TUI."""
        for message in self.answers.feed(data):
            if self._newest is not None:
                self._answered(message)
        if self.answers.fault is not None:
            self._lose(self.answers.fault)

    def _asked(self, message: Message) -> None:
        request = _read_request(message)
        if request is None or request.method not in SWITCHES or request.id is None:
            return
        if request.params is not None and request.params.ephemeral:
            return
        self._await(request.id)

    def _answered(self, message: Message) -> None:
        answer = _read_answer(message, self._newest)
        if answer is None:
            return
        self._await(None)
        thread = answer.result.thread if answer.result else None
        if thread is None or not thread.id or thread.ephemeral or thread.id == self._shown:
            return
        self._shown = thread.id
        self._shows(thread.id)

    def _await(self, newest: int | str | None) -> None:
        self._newest = newest
        # Most of the time no answer is awaited, and then the server's text is not looked at.
        self.answers.want = nothing if newest is None else some

    def _lose(self, fault: str) -> None:
        lost, self._lost = self._lost, _ignore
        self._await(None)
        lost(fault)


def _ignore(fault: str) -> None:
    """Say nothing: it has been said."""


def _read_request(message: Message) -> _Request | None:
    if not message.whole:
        found = prefix.find(message.data, _REQUEST_PATHS)
        ephemeral = found.get(("params", "ephemeral")) is True
        return _Request(
            str(found.get(("method",), "")), _id(found.get(("id",))), _Params(ephemeral)
        )
    try:
        return _request.decode(message.data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _read_answer(message: Message, id: int | str | None) -> _Answer | None:
    """Return the answer to the request *id*, an error as one without result; else ``None``."""
    if message.whole:
        try:
            envelope = _envelope.decode(message.data)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return None
        if envelope.method is not None or envelope.id != id:
            return None
        try:
            return _answer.decode(message.data)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return _Answer()  # An answer it is, though none that names a thread.
    found = prefix.find(message.data, _ANSWER_PATHS)
    if ("method",) in found or _id(found.get(("id",))) != id:
        return None
    thread = found.get(("result", "thread", "id"))
    ephemeral = found.get(("result", "thread", "ephemeral")) is True
    return _Answer(_Result(_Thread(thread, ephemeral)) if isinstance(thread, str) else None)


def _id(value: prefix.Scalar) -> int | str | None:
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None
