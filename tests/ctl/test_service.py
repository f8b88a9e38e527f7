"""``service`` as a person types it, where there is no service manager: the real daemon."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from agentbridged.service.systemd import BOOTED
from tests.ctl.shell import BOUND, Shell
from tests.lab.waiting import until

pytestmark = [pytest.mark.realtime]


@pytest.fixture
def shell() -> Iterator[Shell]:
    if sys.platform != "linux" or BOOTED.is_dir():
        pytest.skip("there is a service manager here")
    with tempfile.TemporaryDirectory(prefix="ab", dir="/tmp") as directory:
        Path(directory, "codex").touch(mode=0o600)
        yield Shell(Path(directory), {"AGENTBRIDGE_CODEX": f"{directory}/codex"})


def run(shell: Shell, *command: str | Path) -> str:
    done = subprocess.run(
        command, env=shell.environment, capture_output=True, text=True, check=False, timeout=BOUND
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_it_is_installed_started_shown_restarted_and_stopped(shell: Shell) -> None:
    installed = await shell.ctl("service", "install")
    assert "nothing to install" in installed.out
    assert (await shell.ctl("service", "status")).code == 3
    started = await shell.ctl("service", "start", "--json")
    assert started.json["done"] == "start"
    try:
        first = (await shell.ctl("service", "status", "--json")).json
        assert (first["manager"], first["state"]) == ("none", "active")
        assert (await shell.ctl("status")).code == 0
        assert (await shell.ctl("service", "restart")).code == 0
        second = (await shell.ctl("service", "status", "--json")).json
        assert second["pid"] != first["pid"]
        parent = psutil.Process(second["pid"])
        proxies = parent.children()
    finally:
        stopped = await shell.ctl("service", "stop")
    assert "ended" in stopped.out
    until(lambda: not any(p.is_running() for p in proxies), "the end of its children")
    assert (await shell.ctl("service", "status")).code == 3


async def test_what_ends_its_start_is_told(shell: Shell) -> None:
    (shell.home / "config").mkdir()
    (shell.home / "config" / "config.toml").write_text("relay = 7\n", encoding="utf-8")
    done = await shell.ctl("service", "start")
    assert done.code == 1
    assert "relay" in done.err
    assert "status 78" in done.err


def test_an_upgraded_daemon_without_a_manager_becomes_the_new_one(shell: Shell) -> None:
    link = shell.home / "agentbridged"
    real = Path(sys.executable).with_name("agentbridged")
    link.symlink_to(real)
    ctl = shell.home / "agentbridgectl"
    ctl.symlink_to(real.with_name("agentbridgectl"))
    run(shell, ctl, "service", "start")
    try:
        before = json.loads(run(shell, ctl, "status", "--json"))
        copy = shell.home / "copy"
        copy.write_bytes(real.read_bytes())
        copy.chmod(0o755)
        os.replace(_link(shell.home / "fresh", copy), link)
        assert "restarts" in run(shell, ctl, "reload")
        lock = shell.runtime / "agentbridged.lock"

        def again() -> bool:
            try:
                told = json.loads(lock.read_text(encoding="utf-8"))
            except ValueError:
                return False
            return bool(told["pid"] == before["pid"])

        until(again, "the same process holds the lock again")
        until(lambda: (shell.runtime / "admin.sock").exists(), "it serves again")
        after = json.loads(run(shell, ctl, "status", "--json"))
        assert after["pid"] == before["pid"]
        assert after["uptime_s"] < before["uptime_s"] + 60
        assert after["proxy"]["pid"] == before["proxy"]["pid"]
        assert after["proxy"]["generation"] == before["proxy"]["generation"]
    finally:
        run(shell, ctl, "service", "stop")


def _link(path: Path, target: Path) -> Path:
    path.symlink_to(target)
    return path
