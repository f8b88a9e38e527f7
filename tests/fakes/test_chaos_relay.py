"""The relay does to bytes what it is told, and otherwise nothing."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.chaos import Chaos, chaos
from tests.lab.waiting import PATIENCE, until

pytestmark = pytest.mark.realtime

MUCH = os.urandom(1024 * 1024)


class Ends:
    """A listener behind a relay, and connections through it."""

    def __init__(self, directory: Path, relay: Chaos, listener: socket.socket) -> None:
        self.directory, self.relay, self._listener = directory, relay, listener
        self._open: list[socket.socket] = []

    def connect(self) -> socket.socket:
        """Return the near end of a new connection; nobody may have accepted it yet."""
        near = socket.socket(socket.AF_UNIX)
        near.connect(str(self.relay.front))
        return self._bounded(near)

    def accept(self) -> socket.socket:
        """Return the far end of the next connection."""
        return self._bounded(self._listener.accept()[0])

    def pair(self) -> tuple[socket.socket, socket.socket]:
        """Return both ends of a new connection."""
        near = self.connect()
        return near, self.accept()

    def _bounded(self, end: socket.socket) -> socket.socket:
        end.settimeout(PATIENCE)
        self._open.append(end)
        return end

    def close(self) -> None:
        """Close whatever was opened."""
        for end in self._open:
            end.close()


@pytest.fixture
def ends() -> Iterator[Ends]:
    """A relay with one who listens behind it."""
    with tempfile.TemporaryDirectory() as name, socket.socket(socket.AF_UNIX) as listener:
        directory = Path(name)
        listener.bind(str(directory / "target"))
        listener.listen()
        listener.settimeout(PATIENCE)
        with chaos(directory / "front", directory / "target") as relay:
            ends = Ends(directory, relay, listener)
            try:
                yield ends
            finally:
                ends.close()


def read(end: socket.socket, count: int) -> bytes:
    """Read exactly so many bytes, or what came before the end."""
    data = b""
    while len(data) < count and (more := end.recv(count - len(data))):
        data += more
    return data


def is_silent(end: socket.socket) -> bool:
    """Whether nothing is there to be read now, not even an end."""
    end.setblocking(False)
    try:
        end.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    finally:
        end.settimeout(PATIENCE)
    return False


def is_cut(end: socket.socket) -> bool:
    """Wait for the end of what comes; an abrupt one counts too."""
    try:
        return end.recv(1) == b""
    except ConnectionError:
        return True


def test_bytes_pass_both_ways_as_they_are(ends: Ends) -> None:
    near, far = ends.pair()
    for one, other in ((near, far), (far, near)):
        sender = threading.Thread(target=one.sendall, args=(MUCH,))
        sender.start()
        assert read(other, len(MUCH)) == MUCH
        sender.join()
    assert ends.relay.peers() == [os.getpid()]


def test_who_says_no_more_may_still_listen(ends: Ends) -> None:
    near, far = ends.pair()
    near.sendall(b"last words")
    near.shutdown(socket.SHUT_WR)
    assert read(far, 100) == b"last words"
    far.sendall(b"answer")
    far.close()
    assert read(near, 100) == b"answer"
    until(lambda: ends.relay.peers() == [], "the relay has let go")


def test_a_cut_ends_both_ends(ends: Ends) -> None:
    near, far = ends.pair()
    near.sendall(b"x")
    assert read(far, 1) == b"x"
    ends.relay.cut(os.getpid())
    assert is_cut(near)
    assert is_cut(far)


def test_a_half_closed_direction_is_over_and_the_other_goes_on(ends: Ends) -> None:
    near, far = ends.pair()
    near.sendall(b"x")
    assert read(far, 1) == b"x"
    ends.relay.half_close("up")
    assert is_cut(far)
    far.sendall(b"you cannot answer this")
    assert read(near, 22) == b"you cannot answer this"


def test_one_direction_stands_still_until_all_is_calm(ends: Ends) -> None:
    near, far = ends.pair()
    near.sendall(b"a")
    assert read(far, 1) == b"a"
    ends.relay.stall("up")
    near.sendall(b"later")
    far.sendall(b"now")
    assert read(near, 3) == b"now"
    assert is_silent(far)
    ends.relay.calm()
    assert read(far, 5) == b"later"


@pytest.mark.parametrize("weather", ["dribble", "delay 0.001", "storm 3"])
def test_bad_weather_changes_no_byte_that_comes_through(ends: Ends, weather: str) -> None:
    near, far = ends.pair()
    sent = MUCH[:3000]
    ends.relay._tell(weather)
    near.sendall(sent)
    near.shutdown(socket.SHUT_WR)
    came = read(far, len(sent))
    assert sent.startswith(came)
    assert came == sent or weather.startswith("storm")


def test_a_dribble_brings_one_byte_at_a_time(ends: Ends) -> None:
    near, far = ends.pair()
    ends.relay.dribble()
    ends.relay.delay(0.01)
    near.sendall(b"abc")
    assert [far.recv(100) for _ in range(3)] == [b"a", b"b", b"c"]


def test_a_storm_cuts_in_the_end(ends: Ends) -> None:
    near, far = ends.pair()
    ends.relay.storm(11)

    def pour() -> None:
        with contextlib.suppress(OSError):
            while True:
                near.sendall(MUCH)

    sender = threading.Thread(target=pour)
    sender.start()
    came = 0
    with contextlib.suppress(ConnectionError):
        while more := far.recv(65536):
            came += len(more)
    sender.join(PATIENCE)
    assert came > 0


def test_who_is_barred_waits_and_is_let_through_at_last(ends: Ends) -> None:
    ends.relay.bar(os.getpid())
    near = ends.connect()
    near.sendall(b"hello")
    assert ends.relay.peers() == []
    ends.relay.calm()
    assert read(ends.accept(), 5) == b"hello"


def test_a_double_says_again_what_the_connection_was_opened_with(ends: Ends) -> None:
    near, far = ends.pair()
    for said, heard in ((b"handshake", b"welcome"), (b"who I am", b"known"), (b"do it", b"done")):
        near.sendall(said)
        assert read(far, len(said)) == said
        far.sendall(heard)
        assert read(near, len(heard)) == heard
    ends.relay.double()
    second = ends.accept()
    assert read(second, 17) == b"handshakewho I am"
    second.sendall(b"go away")
    second.close()
    assert is_silent(near)


def test_nobody_behind_it_looks_like_a_cut(ends: Ends) -> None:
    with chaos(ends.directory / "other", ends.directory / "nobody") as relay:
        near = socket.socket(socket.AF_UNIX)
        near.settimeout(PATIENCE)
        with near:
            near.connect(str(relay.front))
            assert is_cut(near)


def test_it_waits_for_who_is_about_to_listen(ends: Ends) -> None:
    with (
        chaos(ends.directory / "other", ends.directory / "late", patience=PATIENCE) as relay,
        socket.socket(socket.AF_UNIX) as near,
        socket.socket(socket.AF_UNIX) as late,
    ):
        near.settimeout(PATIENCE)
        near.connect(str(relay.front))
        near.sendall(b"anybody there?")
        assert relay.peers() == []
        late.bind(str(ends.directory / "late"))
        late.listen()
        far, _ = late.accept()
        with far:
            far.settimeout(PATIENCE)
            assert read(far, 14) == b"anybody there?"
