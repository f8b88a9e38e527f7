"""Sockets given by a service manager: taken when they are right, refused by name when not."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentbridged.activation import inherited
from agentbridged.errors import ConfigError


@pytest.fixture
def path() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="ab", dir="/tmp") as directory:
        yield str(Path(directory) / "admin.sock")


@pytest.fixture
def given(path: str) -> Iterator[int]:
    """The number of a listening socket, as the manager leaves it open for us."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        yield os.dup(listener.fileno())


def environment(**changes: str) -> dict[str, str]:
    right = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "admin"}
    return right | changes


def test_a_listening_socket_is_taken_and_not_passed_on(path: str, given: int) -> None:
    taken = inherited(environment(), {"admin": path}, first=given)["admin"]
    with taken, socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        accepted, _ = taken.accept()
        accepted.close()
        assert not taken.getblocking()
        assert not taken.get_inheritable()


@pytest.mark.parametrize("pid", ["", "1", "x"])
def test_what_was_for_another_process_is_not_looked_at(pid: str) -> None:
    assert inherited(environment(LISTEN_PID=pid, LISTEN_FDS="x"), {}) == {}


def test_without_the_variables_there_is_nothing() -> None:
    assert inherited({}, {"admin": "/x"}) == {}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"LISTEN_FDS": "many"}, "LISTEN_FDS"),
        ({"LISTEN_FDS": "-1"}, "LISTEN_FDS"),
        ({"LISTEN_FDS": "2"}, "LISTEN_FDNAMES"),
        ({"LISTEN_FDNAMES": ""}, "LISTEN_FDNAMES"),
        ({"LISTEN_FDNAMES": "agentbridge.socket"}, "LISTEN_FDNAMES"),
        ({"LISTEN_FDNAMES": "admin:admin", "LISTEN_FDS": "2"}, "LISTEN_FDNAMES"),
    ],
)
def test_a_wrong_variable_is_named(
    path: str, given: int, changes: dict[str, str], field: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        inherited(environment(**changes), {"admin": path}, first=given)
    assert caught.value.field == field
    try:
        os.close(given)
    except OSError:
        assert changes["LISTEN_FDNAMES"] == "admin:admin"  # taken, and closed again


def test_a_descriptor_that_is_no_socket_is_refused(path: str, tmp_path: Path) -> None:
    file = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(ConfigError, match="no socket"):
        inherited(environment(), {"admin": path}, first=file)
    os.close(file)


def test_a_socket_elsewhere_or_not_listening_is_refused(path: str, given: int) -> None:
    with pytest.raises(ConfigError, match="not on /elsewhere"):
        inherited(environment(), {"admin": "/elsewhere"}, first=given)
    with socket.socket(socket.AF_UNIX) as idle, pytest.raises(ConfigError, match="listens"):
        inherited(environment(), {"admin": path}, first=os.dup(idle.fileno()))
