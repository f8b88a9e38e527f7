"""Which program is meant, where several of one name are."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from agentbridged.ctl.programs import command


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n", encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "system" / "python3"))
    monkeypatch.setattr(sys, "argv", ["-c"])
    monkeypatch.setenv("PATH", str(tmp_path / "path"))


def test_what_lies_beside_the_running_program_is_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "system" / "agentbridged")
    own = program(tmp_path / "home" / "agentbridged")
    monkeypatch.setattr(sys, "argv", [str(program(own.with_name("agentbridgectl")))])
    assert command("agentbridged", "agentbridged") == [str(own)]


def test_a_link_on_path_is_preferred_to_where_it_leads(tmp_path: Path) -> None:
    own = program(tmp_path / "system" / "agentbridged")
    (tmp_path / "path").mkdir()
    link = tmp_path / "path" / "agentbridged"
    link.symlink_to(own)
    assert command("agentbridged", "agentbridged") == [str(link)]


def test_without_the_program_the_module_is_run(tmp_path: Path) -> None:
    python = str(tmp_path / "system" / "python3")
    assert command("agentbridged", "agentbridged") == [python, "-P", "-m", "agentbridged"]
