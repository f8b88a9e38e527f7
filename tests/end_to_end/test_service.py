"""The daemon's own life: one per user, an orderly end, clear words when it cannot start."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.lab.waiting import until
from tests.lab.world import ROOT, World

STOP_LIMIT = 10.0
"""Seconds around the whole end on a slow machine: 5 are promised, 15 the outer bound."""


@pytest.fixture
def fresh() -> Iterator[World]:
    """A world without a daemon."""
    with World.open() as world:
        yield world


def run_daemon(world: World, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a daemon that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "agentbridged"],
        cwd=ROOT,
        env=world.environment | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """Give the one line that says what went wrong."""
    assert done.returncode not in (0, -signal.SIGABRT), done
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    return lines[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_ends_it_in_order_with_a_tui_attached(
    fresh: World, number: signal.Signals
) -> None:
    fresh.start_daemon()
    tui = fresh.codex_tui(wrapper=True)
    until(lambda: fresh.status()["proxy"]["tuis"] == 1, "the proxy has the TUI")
    children = [fresh.status()[name]["pid"] for name in ("proxy", "app_server")]
    begun = time.monotonic()
    assert fresh.stop_daemon(number) == 0
    assert time.monotonic() - begun < STOP_LIMIT
    until(lambda: not any(map(psutil.pid_exists, children)), "the end of both children")
    assert not [p for p in fresh.runtime.iterdir() if p.suffix == ".sock"]
    tui.close()


def test_a_second_daemon_fails_naming_the_first(fresh: World) -> None:
    first = fresh.start_daemon()
    line = one_line(run_daemon(fresh))
    assert str(first.pid) in line
    assert fresh.status()["pid"] == first.pid


def test_a_daemon_starts_over_what_a_killed_one_left(fresh: World) -> None:
    fresh.start_daemon()
    before = fresh.status()
    fresh.stop_daemon(signal.SIGKILL)
    fresh.start_daemon()
    after = fresh.status()
    assert after["proxy"]["pid"] == before["proxy"]["pid"]
    assert after["app_server"]["pid"] == before["app_server"]["pid"]


def test_what_a_daemon_that_never_comes_back_leaves_ends_but_not_under_a_plain_codex(
    fresh: World,
) -> None:
    fresh.start_daemon()
    tui = fresh.codex_tui()
    old = fresh.status()
    fresh.stop_daemon(signal.SIGKILL)
    app_server = psutil.Process(old["app_server"]["pid"])
    psutil.Process(old["proxy"]["pid"]).kill()
    started = [
        *(sys.executable, "-m", "agentbridged.proxy", "--generation", "2", "--idle-exit", "1"),
        *("--codex-socket", str(fresh.runtime / "codex.sock")),
        *("--link-socket", str(fresh.runtime / "proxy.sock")),
        *("--app-server-record", str(record_of(app_server.pid, fresh))),
    ]
    with subprocess.Popen(started, cwd=ROOT, env=fresh.environment) as proxy:
        with pytest.raises(subprocess.TimeoutExpired):
            proxy.wait(4)
        assert app_server.is_running()
        assert tui.terminal.running()
        tui.close()
        assert proxy.wait(60) == 0
    until(lambda: not app_server.is_running(), "the end of the app-server", explain=fresh.report)


def record_of(pid: int, world: World) -> Path:
    """Find the record by which the next daemon would adopt this process."""
    records = [*world.runtime.glob("*.json"), *world.state.glob("*.json")]
    return next(path for path in records if f'"pid":{pid}' in path.read_text("utf-8"))


@pytest.mark.parametrize(
    ("variables", "word"),
    [
        ({"AGENTBRIDGE_RUNTIME_DIR": "relative"}, "AGENTBRIDGE_RUNTIME_DIR"),
        ({"AGENTBRIDGE_RUNTIME_DIR": "{short}/" + "x" * 120}, "AGENTBRIDGE_RUNTIME_DIR"),
        ({"AGENTBRIDGE_STATE_DIR": "relative"}, "AGENTBRIDGE_STATE_DIR"),
        ({"AGENTBRIDGE_CONFIG": "relative.toml"}, "AGENTBRIDGE_CONFIG"),
    ],
    ids=["relative runtime", "too long for a socket", "relative state", "relative config"],
)
def test_a_bad_environment_is_refused_by_name(
    fresh: World, variables: dict[str, str], word: str
) -> None:
    known = {name: value.replace("{short}", str(fresh.short)) for name, value in variables.items()}
    assert word in one_line(run_daemon(fresh, **known))


def test_a_bad_config_at_the_start_is_refused_by_name(fresh: World) -> None:
    fresh.config_file.parent.mkdir(parents=True)
    fresh.config_file.write_text("[governor]\nmax_hops = 'many'\n", encoding="utf-8")
    assert "max_hops" in one_line(run_daemon(fresh))


@pytest.mark.parametrize(
    "content",
    [
        b"this is no database, and it is longer than a header of SQLite" * 50,
        b"SQLite format 3\0" + b"\xff" * 4096,
    ],
    ids=["garbage", "a broken header"],
)
def test_a_database_that_is_none_is_put_aside_as_it_is_and_work_goes_on(
    fresh: World, content: bytes
) -> None:
    database = fresh.state / "agentbridge.db"
    database.parent.mkdir(parents=True)
    database.write_bytes(content)
    fresh.start_daemon(whole=False)
    store = fresh.status()["store"]
    (aside,) = store["kept_aside"]
    assert Path(aside).read_bytes() == content
    assert (store["state"], aside in store["loss"]) == ("ok", True)
    assert aside in fresh.ctl("status").stdout
    assert fresh.ctl("send", "kept in the new one").returncode == 0


def test_without_a_state_directory_it_serves_and_refuses_what_it_cannot_keep(
    fresh: World,
) -> None:
    fresh.start_daemon(whole=False, AGENTBRIDGE_STATE_DIR="/dev/null/x")
    assert fresh.status()["store"]["state"] == "memory"
    refused = fresh.ctl("send", "?")
    assert refused.returncode == 1
    assert "Not a directory" in one_line(refused)


def test_without_codex_it_serves_and_says_so(fresh: World) -> None:
    fresh.start_daemon(whole=False, AGENTBRIDGE_CODEX="/nonexistent/codex")
    shown = until(
        lambda: fresh.ctl("status").stdout if "codex" in fresh.ctl("status").stdout else "",
        "status speaks of codex",
    )
    assert "Traceback" not in shown
    assert fresh.status()["app_server"]["state"] != "RUNNING"


def test_ctl_without_a_daemon_says_how_to_start_it(fresh: World) -> None:
    done = fresh.ctl("status")
    assert done.returncode == 3
    assert "agentbridged" in one_line(done)


def test_ctl_before_a_silent_daemon_gives_up(fresh: World) -> None:
    daemon = fresh.start_daemon()
    process = psutil.Process(daemon.pid)
    process.suspend()
    try:
        done = fresh.ctl("status")
    finally:
        process.resume()
    assert done.returncode == 4
    one_line(done)


def test_the_runtime_directory_is_made_private(fresh: World) -> None:
    fresh.runtime.mkdir(mode=0o755)
    fresh.start_daemon()
    assert Path(fresh.runtime).stat().st_mode & 0o777 == 0o700
