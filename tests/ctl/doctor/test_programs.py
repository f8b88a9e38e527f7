from pathlib import Path

import pytest

from agentbridged.ctl import plugin
from agentbridged.ctl.doctor import programs
from agentbridged.ctl.doctor.finding import Finding
from agentbridged.errors import Refused, Unavailable


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path), "PATH": str(tmp_path / "bin")}


def install(environment: dict[str, str], name: str, says: str) -> None:
    program = Path(environment["PATH"]) / name
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\n{says}\n", encoding="utf-8")
    program.chmod(0o755)


def one(findings: list[Finding]) -> Finding:
    (found,) = findings
    return found


def test_programs_that_are_not_found_are_told(environment: dict[str, str]) -> None:
    for found in (one(programs.codex({}, environment)), one(programs.claude(environment))):
        assert found.state == "fail"
        assert "AGENTBRIDGE_C" in found.remedy


@pytest.mark.realtime
@pytest.mark.parametrize(
    ("says", "state", "words"),
    [
        ("echo 2.1.330 '(Claude Code)'", "ok", "2.1.330 (~/bin/claude)"),
        ("echo 2.1.300", "warn", "older than"),
        ("echo 2.1.99", "fail", "too old: 2.1.224"),
        ("echo 3.0.0", "ok", "newer than"),
        ("echo no", "fail", "does not tell its version"),
        ("echo 2.1.330; exit 3", "fail", "does not tell its version"),
    ],
)
def test_a_version_is_held_to_the_one_that_was_measured(
    says: str, state: str, words: str, environment: dict[str, str]
) -> None:
    install(environment, "claude", says)
    found = one(programs.claude(environment))
    assert found.state == state
    assert words in found.what


@pytest.mark.realtime
def test_codex_is_found_in_the_usual_places_too(environment: dict[str, str]) -> None:
    usual = {**environment, "PATH": str(Path(environment["HOME"]) / ".local" / "bin")}
    (Path(environment["HOME"]) / ".local").mkdir()
    install(usual, "codex", "echo codex-cli 0.169.0")
    found = one(programs.codex({}, environment))
    assert (found.state, found.what) == ("ok", "0.169.0 (~/.local/bin/codex)")


@pytest.mark.realtime
def test_a_daemon_that_does_not_find_codex_is_told(environment: dict[str, str]) -> None:
    install(environment, "codex", "echo codex-cli 0.169.0")
    first, second = programs.codex({"environment": {"codex": None}}, environment)
    assert (first.state, "does not find Codex" in first.what, second.state) == ("fail", True, "ok")


def test_the_plugins_faults_are_told_and_its_absence_of_a_claude_is_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plugin, "problems", lambda: ["it is disabled", "it is old"])
    assert [f.what for f in programs.plugin()] == ["it is disabled", "it is old"]
    monkeypatch.setattr(plugin, "problems", lambda: [])
    assert one(programs.plugin()).state == "ok"

    def raises(error: Exception) -> list[str]:
        raise error

    monkeypatch.setattr(plugin, "problems", lambda: raises(Unavailable("no claude")))
    assert one(programs.plugin()).state == "skipped"
    monkeypatch.setattr(plugin, "problems", lambda: raises(Refused("it failed")))
    assert one(programs.plugin()).state == "fail"


def test_what_the_programs_keep_is_looked_at(environment: dict[str, str], tmp_path: Path) -> None:
    assert {f.state for f in programs.permissions(environment)} == {"ok"}
    (tmp_path / ".claude").mkdir()
    (tmp_path / ".codex").mkdir()
    (tmp_path / ".claude/settings.json").write_text("{", encoding="utf-8")
    claude, codex = programs.permissions(environment)
    assert (claude.state, "not JSON" in claude.what, codex.state) == ("fail", True, "ok")
    (tmp_path / ".claude/settings.json").write_text("{}", encoding="utf-8")
    assert {f.state for f in programs.permissions(environment)} == {"ok"}
