from typing import Any

import pytest

from agentbridged import __version__
from agentbridged.ctl.doctor import daemon
from agentbridged.ctl.doctor.finding import Finding
from agentbridged.errors import DaemonNotRunning, DaemonSilent

WELL: dict[str, Any] = {
    "version": __version__,
    "pid": 42,
    "uptime_s": 7300.0,
    "store": {"state": "ok", "reason": ""},
    "app_server": {"state": "RUNNING", "connected": True, "managed": True, "version": "0.169.0"},
    "proxy": {"state": "RUNNING", "pid": 43, "tuis": 2},
    "degraded": [],
    "environment": {
        "source": "login-shell",
        "shell": "/bin/zsh",
        "taken_at": "2026-11-24T10:00:00Z",
        "names": ["OPENAI_API_KEY", "PATH"],
        "problem": "",
    },
    "bridges": [
        {"id": "p-1", "state": "active", "claude": {"pid": 5}, "codex": {"status": "idle"}}
    ],
}
OF_STATUS = (
    *(daemon.daemon, daemon.store, daemon.app_server, daemon.proxy, daemon.degraded),
    *(daemon.sessions, daemon.environment),
)


def one(findings: list[Finding]) -> Finding:
    (found,) = findings
    assert (found.state in ("warn", "fail")) == bool(found.remedy)
    return found


@pytest.mark.parametrize("check", OF_STATUS)
def test_a_daemon_that_is_well_has_no_remedies(check: Any) -> None:
    assert one(check(WELL)).state == "ok"


@pytest.mark.parametrize("check", OF_STATUS[1:])
def test_a_daemon_of_another_version_breaks_no_check(check: Any) -> None:
    for finding in check({}):
        assert finding.state in ("skipped", "fail", "ok")


def test_a_daemon_that_is_down_or_silent_is_a_failure_with_what_to_do() -> None:
    down = one(daemon.daemon(DaemonNotRunning("nobody listens")))
    assert (down.state, "start it" in down.remedy) == ("fail", True)
    assert one(daemon.daemon(DaemonSilent("no answer in 10 s"))).what == "no answer in 10 s"


def test_an_older_daemon_is_to_hand_over_to_the_installed_one() -> None:
    found = one(daemon.daemon({**WELL, "version": "0.0.1"}))
    assert (found.state, found.remedy.startswith("`agentbridgectl reload`")) == ("warn", True)


def test_an_app_server_that_another_started_has_its_environment() -> None:
    joined = {**WELL["app_server"], "managed": False, "pid": 9}
    found = one(daemon.app_server({"app_server": joined}))
    assert (found.state, "PATH and keys" in found.what) == ("warn", True)


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({"state": "FATAL", "connected": False, "reason": "it crashed"}, "fail"),
        ({"state": "STARTING", "connected": False}, "fail"),
        ({"reason": "on a private socket"}, "warn"),
    ],
)
def test_an_app_server_in_trouble_is_told(change: dict[str, Any], state: str) -> None:
    found = one(daemon.app_server({"app_server": {**WELL["app_server"], **change}}))
    assert found.state == state
    assert str(change.get("reason", "")) in found.what


def test_a_proxy_that_does_not_run_is_told() -> None:
    found = one(daemon.proxy({"proxy": {"state": "FATAL", "reason": "no socket"}}))
    assert found.what == "FATAL: no socket"


def test_a_store_that_cannot_keep_is_told_with_its_reason() -> None:
    found = one(daemon.store({"store": {"state": "full", "reason": "the disk is full"}}))
    assert (found.state, found.what) == ("fail", "full: the disk is full")


def test_what_a_damaged_database_has_cost_is_told_although_messages_are_kept_again() -> None:
    loss = "it is damaged; it is kept as /x, and a new one holds what could be read: 3 messages"
    kept, lost = daemon.store({"store": {"state": "ok", "reason": "", "loss": loss}})
    assert kept == one(daemon.store(WELL))
    assert (lost.id, lost.state, lost.what) == ("store.loss", "warn", loss)
    assert lost.remedy


def test_each_lack_is_told_with_what_is_done_instead() -> None:
    lacks = [
        {"program": "codex", "method": "thread/queue/add", "problem": "unknown", "instead": "turn"},
        {"program": "claude", "bridge": "p-1", "method": "inbox", "problem": "none"},
    ]
    first, second = daemon.degraded({**WELL, "degraded": lacks})
    assert first.what == "Codex lacks thread/queue/add as we know it (unknown): turn"
    assert second.what.startswith("Claude (p-1) lacks inbox as we know it (none)")
    assert {first.state, second.state} == {"warn"}
    assert "Claude Code" in second.remedy


def test_a_bridge_that_is_switched_off_says_how_to_go_on() -> None:
    rows = [{"id": "p-1", "state": "killed"}, {"id": "q-2", "state": "paused"}]
    killed, paused = daemon.sessions({"bridges": rows})
    assert killed.remedy == "`agentbridgectl revive p-1`"
    assert paused.remedy == "`agentbridgectl resume q-2`"
    trouble = {"id": "p-1", "state": "active", "trouble": "no such thread"}
    assert "no such thread" in one(daemon.sessions({"bridges": [trouble]})).what


def test_the_environment_is_told_by_names_and_a_failed_shell_with_what_to_do() -> None:
    well = one(daemon.environment(WELL))
    assert "keys: OPENAI_API_KEY" in well.what
    hung = {**WELL["environment"], "problem": "did not answer within 5 s", "names": []}
    found = one(daemon.environment({"environment": hung}))
    assert (found.state, "agentbridgectl reload" in found.remedy) == ("warn", True)
    unasked = {**WELL["environment"], "taken_at": None, "names": []}
    assert one(daemon.environment({"environment": unasked})).state == "skipped"
    own = {"source": "inherit", "names": ["PATH"]}
    assert one(daemon.environment({"environment": own})).state == "ok"
