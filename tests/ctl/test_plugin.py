"""The plugin goes into the real Claude Code by Claude Code's own commands."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from agentbridged import __version__
from agentbridged.ctl import plugin as module
from agentbridged.ctl import plugin_files
from agentbridged.ctl.plugin import plugin
from agentbridged.errors import AgentBridgeError
from tests.lab.agents import claude_binary


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    variables = {
        "HOME": str(tmp_path),
        "CLAUDE_CONFIG_DIR": str(tmp_path / ".claude"),
        "AGENTBRIDGE_STATE_DIR": str(tmp_path / "state"),
        "AGENTBRIDGE_RUNTIME_DIR": str(tmp_path / "run"),
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_AUTOUPDATER": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


def run(*arguments: str) -> Result:
    return CliRunner().invoke(plugin, arguments)


def answer(result: Result) -> dict[str, Any]:
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    parsed: dict[str, Any] = json.loads(result.output)
    return parsed


@pytest.mark.end_to_end
@pytest.mark.requirement("P1")
def test_it_is_installed_enabled_and_verified_as_often_as_one_likes(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AGENTBRIDGE_CLAUDE", str(claude_binary()))
    missing = run("verify", "--json")
    assert (missing.exit_code, answer(missing)["problems"]) == (1, ["it is not installed"])
    for _ in range(2):
        assert answer(run("install", "--json"))["enabled"] is True
    verified = run("verify", "--json")
    assert (verified.exit_code, answer(verified)["installed"]) == (0, __version__)
    settings = json.loads((tmp_path / ".claude/settings.json").read_text(encoding="utf-8"))
    assert settings["enabledPlugins"] == {"agentbridge@agentbridge": True}
    staged = Path(answer(run("path", "--json"))["path"])
    server = json.loads((staged / "agentbridge/.mcp.json").read_text(encoding="utf-8"))
    assert Path(server["mcpServers"]["agentbridge"]["command"]).is_absolute()


@pytest.mark.end_to_end
@pytest.mark.requirement("P1")
def test_another_version_a_changed_file_and_a_disabled_plugin_are_told_and_mended(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AGENTBRIDGE_CLAUDE", str(claude_binary()))
    assert run("install").exit_code == 0
    monkeypatch.setattr(module, "__version__", "99.0.0")
    monkeypatch.setattr(plugin_files, "__version__", "99.0.0")
    older = run("verify")
    assert older.exit_code == 1
    assert f"version {__version__} is installed, this is 99.0.0" in older.output
    assert run("install").exit_code == 0
    assert run("verify").exit_code == 0
    module._claude("plugin", "disable", module.PLUGIN)
    disabled = run("verify")
    assert (disabled.exit_code, "disabled" in disabled.output) == (1, True)
    assert run("install").exit_code == 0
    (tmp_path / "state/plugin/agentbridge/.mcp.json").write_text("{}", encoding="utf-8")
    changed = run("verify")
    assert (changed.exit_code, "differs from its source" in changed.output) == (1, True)


@pytest.mark.end_to_end
def test_claude_code_itself_finds_no_fault_in_what_is_shipped(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTBRIDGE_CLAUDE", str(claude_binary()))
    shipped = plugin_files.SHIPPED
    for directory in (shipped, shipped / "agentbridge"):
        assert "passed" in module._claude("plugin", "validate", "--strict", str(directory))


def test_without_claude_code_it_says_how_to_name_it(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("AGENTBRIDGE_CLAUDE", raising=False)
    failed = run("verify")
    assert isinstance(failed.exception, AgentBridgeError)
    assert "AGENTBRIDGE_CLAUDE" in str(failed.exception)


def test_a_failing_claude_is_told_in_its_own_words(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "claude"
    program.write_text("#!/bin/sh\necho 'no such command' >&2\nexit 3\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("AGENTBRIDGE_CLAUDE", str(program))
    failed = run("install")
    assert isinstance(failed.exception, AgentBridgeError)
    assert "no such command" in str(failed.exception)


def test_the_program_is_named_by_an_absolute_path_and_a_link_on_path_is_preferred(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("venv", "bin"):
        (tmp_path / name).mkdir()
    own = tmp_path / "venv" / "agentbridge-mcp"
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert module.command()[-2:] == ["-m", "agentbridged.mcp.shim"]
    own.write_text("#!/bin/sh\n", encoding="utf-8")
    own.chmod(0o755)
    assert module.command() == [str(own)]
    link = tmp_path / "bin" / "agentbridge-mcp"
    link.symlink_to(own)
    assert module.command() == [str(link)]
