"""What a person reads."""

import time
from typing import Any

import pytest

from agentbridged.ctl import render
from agentbridged.wire.admin import Message

STATUS: dict[str, Any] = {
    "version": "1.2.3",
    "pid": 42,
    "state": "running",
    "uptime_s": 7380,
    "app_server": {
        **{"state": "RUNNING", "pid": 7, "generation": 2, "restarts": 1},
        **{"version": "0.169.0", "managed": True},
    },
    "proxy": {"state": "FATAL", "pid": None, "generation": 9, "restarts": 8, "tuis": 1},
    "bridges": [
        {
            "id": "a-1",
            "root": "/a",
            "state": "active",
            "claude": {"session_id": "s", "pid": 8, "since": "2026-11-24T10:03:00Z"},
            "codex": {
                **{"thread_id": "t", "status": "active", "turn_id": "u", "tui": True},
                **{"waiting_on": "user_input", "waiting_since": "2026-11-24T10:03:00Z"},
            },
            **{"to_codex": 2, "to_claude": 0, "oldest_undelivered_s": 3.2},
        },
        {
            **{"id": "b-2", "root": "/b", "state": "killed", "claude": None, "codex": None},
            **{"to_codex": 0, "to_claude": 0, "oldest_undelivered_s": None},
        },
    ],
}


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_a_database_is_told_of_only_when_something_is_wrong_with_it() -> None:
    well: dict[str, Any] = {
        "state": "ok",
        "reason": "",
        "loss": "",
        "since": None,
        "kept_aside": [],
    }
    assert "database" not in render.status({**STATUS, "store": well})
    full = {**well, "state": "refusing", "reason": "it is full", "since": "2026-11-24T10:03:00Z"}
    assert (
        "database     refusing since 2026-11-24 10:03:00: it is full"
        in render.status({**STATUS, "store": full}).splitlines()
    )
    anew = {**well, "loss": "the old one is kept as /x"}
    assert "database     the old one is kept as /x" in render.status({**STATUS, "store": anew})


def test_status_reads_at_a_glance() -> None:
    assert render.status(STATUS).splitlines() == [
        "agentbridged 1.2.3, pid 42, running for 2 h 3 min",
        "app-server   RUNNING, pid 7, restarted 1 time, Codex 0.169.0, ours",
        "proxy        FATAL, restarted 8 times, 1 TUI",
        "",
        "a-1  active  /a",
        "  Claude   pid 8, session s, since 2026-11-24 10:03:00",
        "  Codex    thread t, active, waits for a person (user input) since 2026-11-24 10:03:00, "
        "shown in a TUI",
        "  waiting  2 to Codex, the oldest for 3 s",
        "",
        "b-2  killed  /b",
        "  Claude   no session",
        "  Codex    no thread",
    ]


def test_status_of_another_version_is_shown_as_far_as_it_is_understood() -> None:
    assert "no bridges yet" in render.status({})
    odd = {"app_server": {"state": "RUNNING", "reason": "private socket"}, "bridges": [{}]}
    assert "RUNNING, private socket" in render.status(odd)


def test_bridges_are_a_table() -> None:
    assert render.bridges(STATUS["bridges"]).splitlines() == [
        "BRIDGE  STATE   CLAUDE  CODEX   WAITING  ROOT",
        "a-1     active  pid 8   active  2        /a",
        "b-2     killed  -       -       0        /b",
    ]
    assert "no bridges" in render.bridges([])


def test_a_message_cannot_steer_the_terminal() -> None:
    message = Message(
        id="ab-1",
        bridge="a-1",
        seq=1,
        direction="to_claude",
        sender="codex",
        text="one\n\x1b[2Jtwo\x9b\u202e\r",
        state="consumed",
        thread_id=None,
        turn_id=None,
        in_reply_to=None,
        prompts=[],
        created_at="2026-11-24T10:03:00.250Z",
        changed_at="2026-11-24T10:03:00.250Z",
    )
    assert render.message(message).splitlines() == [
        "2026-11-24 10:03:00  Codex → Claude  consumed  ab-1",
        "    one",
        "    \ufffd[2Jtwo\ufffd\ufffd\ufffd",
    ]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        *(
            (0, "0 s"),
            (59.9, "59 s"),
            (60, "1 min 0 s"),
            (3599, "59 min 59 s"),
            (3600, "1 h 0 min"),
        ),
        *((86399, "23 h 59 min"), (86400, "1 d 0 h"), (90000, "1 d 1 h"), (None, "-")),
    ],
)
def test_spans_have_two_units(seconds: float | None, words: str) -> None:
    assert render.span(seconds) == words


def test_a_time_that_is_none_is_shown_as_it_came() -> None:
    assert render.local("soon") == "soon"


def test_what_a_program_lacks_is_told_with_what_is_done_instead() -> None:
    row = {
        "program": "codex",
        "method": "thread/queue/add",
        "problem": "unknown variant",
        "instead": "a message is held",
        "since": "2026-11-24T10:00:00Z",
    }
    line = "Codex lacks thread/queue/add as we know it (unknown variant): a message is held"
    assert f"degraded     {line}" in render.status({**STATUS, "degraded": [row]}).splitlines()
    seat = {"program": "claude", "bridge": "p-1", "method": "inbox", "problem": "none"}
    assert render.degraded(seat) == "Claude (p-1) lacks inbox as we know it (none): -"


def test_a_codex_of_another_version_than_the_measured_one_is_named_so() -> None:
    child = {**STATUS["app_server"], "version": "0.175.0", "measured": "0.169.0"}
    shown = render.status({**STATUS, "app_server": child})
    assert "Codex 0.175.0 (agentbridge was measured with 0.169.0)" in shown
    child["version"] = "0.169.0"
    assert "measured" not in render.status({**STATUS, "app_server": child})
