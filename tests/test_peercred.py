"""Real sockets, real processes, real uids."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentbridged.errors import ConfigError, Refused
from agentbridged.peercred import is_listening, listen_private, peer_of, remove_socket


@pytest.fixture
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ab", dir="/tmp") as directory:
        yield Path(directory) / "a.sock"


def test_the_socket_is_private_and_does_not_block(place: Path) -> None:
    with listen_private(place) as listener:
        assert stat.S_IMODE(place.stat().st_mode) == 0o600
        assert not listener.getblocking()


def test_the_mode_is_private_under_any_umask(place: Path) -> None:
    before = os.umask(0)
    try:
        with listen_private(place):
            assert stat.S_IMODE(place.stat().st_mode) == 0o600
    finally:
        os.umask(before)


def test_each_end_learns_uid_and_pid_of_the_other(place: Path) -> None:
    program = (
        f"import socket; s = socket.socket(socket.AF_UNIX); s.connect({str(place)!r}); input()"
    )
    with listen_private(place) as listener:
        listener.settimeout(30)
        with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE) as child:
            connection, _ = listener.accept()
            with connection:
                peer = peer_of(connection)
                child.communicate(b"\n")
        assert peer.pid == child.pid
        assert peer.uid == os.getuid()
        assert peer.is_us
        served_by = is_listening(place)
        assert served_by is not None
        assert served_by.pid == os.getpid()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_a_stranger_is_seen_to_be_one(place: Path) -> None:
    program = f"""
import os, socket
s = socket.socket(socket.AF_UNIX)
os.setuid(65534)
s.connect({str(place)!r})
input()
"""
    with listen_private(place) as listener:
        # The mode would keep the stranger out; the check has to hold where the mode is lost.
        place.chmod(0o666)
        place.parent.chmod(0o711)
        listener.settimeout(30)
        with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE) as child:
            connection, _ = listener.accept()
            with connection:
                peer = peer_of(connection)
                child.communicate(b"\n")
    assert peer.uid == 65534
    assert not peer.is_us


def test_what_a_dead_process_left_is_replaced(place: Path) -> None:
    listen_private(place).close()
    assert place.exists()
    assert is_listening(place) is None
    with listen_private(place):
        assert is_listening(place) is not None


def test_a_live_socket_is_left_alone_and_its_server_named(place: Path) -> None:
    with listen_private(place):
        with pytest.raises(
            Refused, match=rf"already served by pid {os.getpid()}; stop it"
        ) as caught:
            listen_private(place)
        assert caught.value.kind == "in_use"
        assert is_listening(place) is not None


def test_a_server_too_busy_to_accept_still_counts_as_live(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place))
        listener.listen(0)
        waiting = [socket.socket(socket.AF_UNIX) for _ in range(4)]
        try:
            for client in waiting:
                client.setblocking(False)
                client.connect_ex(str(place))
            with pytest.raises(Refused, match="already served"):
                listen_private(place)
        finally:
            for client in waiting:
                client.close()


def test_a_file_that_is_no_socket_is_never_removed(place: Path) -> None:
    place.write_text("precious", encoding="utf-8")
    with pytest.raises(Refused, match="is no socket; move it away"):
        listen_private(place)
    remove_socket(place)
    assert place.read_text(encoding="utf-8") == "precious"


def test_a_link_is_not_followed(place: Path) -> None:
    target = place.with_name("b.sock")
    place.symlink_to(target)
    with pytest.raises(Refused, match="is no socket"):
        listen_private(place)


def test_a_path_that_cannot_be_used_is_named(place: Path) -> None:
    with pytest.raises(ConfigError, match="too long for a Unix socket"):
        listen_private(place.with_name("x" * 120))
    with pytest.raises(ConfigError, match="No such file or directory"):
        listen_private(place.parent / "missing" / "a.sock")
    place.write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match="Not a directory"):
        listen_private(place / "a.sock")


def test_only_a_socket_without_a_server_is_removed(place: Path) -> None:
    with listen_private(place):
        remove_socket(place)
        assert place.exists()
    remove_socket(place)
    assert not place.exists()
    remove_socket(place)


def test_a_closed_socket_has_no_peer() -> None:
    near, far = socket.socketpair()
    near.close()
    far.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        peer_of(near)
