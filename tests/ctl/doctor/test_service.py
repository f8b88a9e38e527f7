from dataclasses import replace
from types import SimpleNamespace

import pytest

from agentbridged.ctl import service as services
from agentbridged.ctl.doctor.finding import Finding
from agentbridged.ctl.doctor.service import service
from agentbridged.errors import Unavailable
from agentbridged.service.contract import ServiceStatus

WELL = ServiceStatus(
    manager="systemd",
    installed=True,
    enabled=True,
    state="active",
    pid=42,
    file="/u/agentbridge.service",
    lingers=True,
)


def found(status: ServiceStatus, patch: pytest.MonkeyPatch) -> list[Finding]:
    patch.setattr(services, "chosen", lambda: SimpleNamespace(status=lambda: status))
    return service()


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (WELL, "ok"),
        (replace(WELL, installed=False, enabled=False), "warn"),
        (replace(WELL, enabled=False), "warn"),
        (replace(WELL, state="failed"), "fail"),
        (replace(WELL, manager="none", installed=False, lingers=None, notes=["none here"]), "ok"),
    ],
)
def test_a_service_is_told_as_its_manager_has_it(
    status: ServiceStatus, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = found(status, monkeypatch)[0]
    assert first.state == state
    assert bool(first.remedy) == (state != "ok")


def test_why_it_failed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = replace(WELL, state="failed", notes=["it failed: the disk is full"])
    assert found(failed, monkeypatch)[0].what == "systemd: failed; it failed: the disk is full"


def test_that_it_ends_with_the_login_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    lingers, ends = (found(replace(WELL, lingers=on), monkeypatch)[1] for on in (True, False))
    assert lingers.what == "it runs from boot on, without a login"
    assert ends.what.startswith("it ends when you log out")


def test_a_manager_that_cannot_be_asked_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> object:
        raise Unavailable("no service manager of yours runs")

    monkeypatch.setattr(services, "chosen", nobody)
    (warning,) = service()
    assert (warning.state, warning.what) == ("warn", "no service manager of yours runs")
