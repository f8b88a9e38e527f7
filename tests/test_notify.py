"""Against real datagram sockets, as the service manager has them."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentbridged.notify import LABEL, STATUS_LIMIT, ServiceManager, is_supervised


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with (
        tempfile.TemporaryDirectory(prefix="ab", dir="/tmp") as directory,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener,
    ):
        path = Path(directory) / "notify"
        listener.bind(str(path))
        listener.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        yield listener


@pytest.fixture
def us(manager: socket.socket) -> Iterator[ServiceManager]:
    service_manager = ServiceManager()
    yield service_manager
    service_manager.close()


def heard(manager: socket.socket) -> list[str]:
    return manager.recv(65536).decode().split("\n")


def test_ready_comes_with_the_pid_and_a_status(manager: socket.socket, us: ServiceManager) -> None:
    us.ready("2 bridges")
    assert heard(manager) == [f"MAINPID={os.getpid()}", "READY=1", "STATUS=2 bridges"]


def test_each_word_is_said_as_the_manager_knows_it(
    manager: socket.socket, us: ServiceManager
) -> None:
    us.status("idle")
    us.watchdog()
    us.stopping("ending the proxy")
    us.extend_timeout(1.5)
    us.reloading()
    assert heard(manager) == ["STATUS=idle"]
    assert heard(manager) == ["WATCHDOG=1"]
    assert heard(manager) == ["STOPPING=1", "STATUS=ending the proxy"]
    assert heard(manager) == ["EXTEND_TIMEOUT_USEC=1500000"]
    reloading, monotonic = heard(manager)
    assert reloading == "RELOADING=1"
    assert monotonic.removeprefix("MONOTONIC_USEC=").isdecimal()


def test_ready_is_not_lost_to_a_status_beyond_latin_1(
    manager: socket.socket, us: ServiceManager
) -> None:
    us.ready("prêt 準備完了 🚀")
    assert heard(manager)[1:] == ["READY=1", "STATUS=prêt 準備完了 🚀"]


@pytest.mark.parametrize("breaker", ["\n", "\r", "\u2028", "\x00", "\x1b", "\udc80"])
def test_a_status_cannot_forge_a_field(
    manager: socket.socket, us: ServiceManager, breaker: str
) -> None:
    us.status(f"idle{breaker}STOPPING=1")
    assert heard(manager) == ["STATUS=idle STOPPING=1"]


def test_a_long_status_is_cut(manager: socket.socket, us: ServiceManager) -> None:
    us.status("x" * 100_000)
    assert heard(manager) == ["STATUS=" + "x" * STATUS_LIMIT]


def test_a_stalled_manager_stalls_nobody(manager: socket.socket, us: ServiceManager) -> None:
    for _ in range(2000):
        us.watchdog()
    assert heard(manager) == ["WATCHDOG=1"]


def test_a_manager_that_went_away_is_no_error(manager: socket.socket, us: ServiceManager) -> None:
    manager.close()
    us.status("still here")


@pytest.mark.parametrize("address", ["", "/nowhere/notify", "@ab-nobody-there", "relative"])
def test_without_a_manager_nothing_happens(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    us = ServiceManager()
    us.ready("nobody hears it")
    us.close()
    us.status("nor this")


def test_without_the_variable_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    us = ServiceManager()
    us.ready("nobody hears it")
    assert us.watchdog_s is None


@pytest.mark.parametrize(
    ("usec", "pid", "period"),
    [
        ("30000000", None, 10.0),
        ("30000000", "ours", 10.0),
        ("30000000", "1", None),
        ("0", None, None),
        ("-1", None, None),
        ("soon", None, None),
        (None, None, None),
        ("30000000", "x", None),
    ],
)
def test_the_watchdog_is_fed_thrice_in_its_time_and_only_by_whom_it_waits_for(
    usec: str | None, pid: str | None, period: float | None
) -> None:
    given = {"WATCHDOG_USEC": usec, "WATCHDOG_PID": str(os.getpid()) if pid == "ours" else pid}
    us = ServiceManager({name: value for name, value in given.items() if value is not None})
    assert us.watchdog_s == period


def test_below_launchd_we_are_our_own_watchdog_and_are_started_again() -> None:
    environment = {"XPC_SERVICE_NAME": LABEL}
    assert is_supervised(environment)
    us = ServiceManager(environment)
    assert us.watchdog_s is not None
    us.watchdog()
    us.close()


def test_who_started_us_decides_whether_we_are_started_again() -> None:
    assert is_supervised({"NOTIFY_SOCKET": "/run/systemd/notify"})
    assert not is_supervised({})
    assert not is_supervised({"XPC_SERVICE_NAME": "application.com.apple.Terminal"})
