"""The plugin's files have one source, and what is shipped agrees with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentbridged import __version__
from agentbridged.ctl import plugin_files
from agentbridged.ctl.plugin_files import PROGRAM, SHIPPED, contents, differences, write


@pytest.mark.requirement("P1")
def test_the_shipped_plugin_is_what_its_source_renders() -> None:
    assert differences(SHIPPED, contents([PROGRAM])) == []
    assert plugin_files.main(["--check"]) == 0


def test_every_manifest_has_this_version_and_the_server_is_always_loaded() -> None:
    files = contents(["/opt/bin/agentbridge-mcp", "-x"])
    marketplace = json.loads(files[".claude-plugin/marketplace.json"])
    manifest = json.loads(files["agentbridge/.claude-plugin/plugin.json"])
    (listed,) = marketplace["plugins"]
    versions = {marketplace["metadata"]["version"], listed["version"], manifest["version"]}
    assert versions == {__version__}
    server = json.loads(files["agentbridge/.mcp.json"])["mcpServers"]["agentbridge"]
    assert server == {"command": "/opt/bin/agentbridge-mcp", "args": ["-x"], "alwaysLoad": True}


def test_a_changed_a_missing_and_a_foreign_file_are_each_named(tmp_path: Path) -> None:
    wanted = contents([PROGRAM])
    write(tmp_path, wanted)
    assert differences(tmp_path, wanted) == []
    (tmp_path / "agentbridge/.mcp.json").write_text("{}", encoding="utf-8")
    (tmp_path / "agentbridge/README.md").unlink()
    (tmp_path / "agentbridge/old.md").write_text("x", encoding="utf-8")
    found = "\n".join(differences(tmp_path, wanted))
    assert ".mcp.json differs" in found
    assert "README.md is missing" in found
    assert "old.md is not part" in found
    write(tmp_path, wanted)
    assert differences(tmp_path, wanted) == []


@pytest.mark.requirement("P1")
def test_the_check_fails_when_the_shipped_plugin_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, {**contents([PROGRAM]), "agentbridge/.mcp.json": "{}"})
    monkeypatch.setattr(plugin_files, "SHIPPED", tmp_path)
    assert plugin_files.main(["--check"]) == 1
    assert ".mcp.json" in capsys.readouterr().err
    assert plugin_files.main([]) == 0
    assert plugin_files.main(["--check"]) == 0


@pytest.mark.requirement("P1")
def test_make_check_runs_that_check() -> None:
    makefile = (Path(__file__).parents[2] / "Makefile").read_text(encoding="utf-8")
    recipe = makefile.partition("\ncheck:")[2].partition("\n\n")[0]
    assert "-m agentbridged.ctl.plugin_files --check" in recipe
