"""``codex`` and ``claude``: the real programs get their arguments as they want them."""

import json
from pathlib import Path

import pytest

from agentbridged.ctl.agents import arguments_for_codex
from tests.admin.desk import served
from tests.ctl.shell import Shell

ADDED = ["--remote", "unix:///s", "-C", "/p"]
REMOTE = ADDED[:2]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], ADDED),
        (["fix the test"], [*ADDED, "fix the test"]),
        (["-m", "resume", "hi"], [*ADDED, "-m", "resume", "hi"]),
        (["resume"], ["resume", *ADDED]),
        (["resume", "--last"], ["resume", *ADDED, "--last"]),
        (["-m", "o3", "fork", "id"], ["-m", "o3", "fork", *ADDED, "id"]),
        (["agents"], ["agents", *ADDED]),
        (["-C", "/q"], [*REMOTE, "-C", "/q"]),
        (["--cd=/q", "hi"], [*REMOTE, "--cd=/q", "hi"]),
        (["-C/q", "resume"], ["-C/q", "resume", *REMOTE]),
        (["--", "exec"], [*ADDED, "--", "exec"]),
        (["--", "--remote"], [*ADDED, "--", "--remote"]),
        (["-c", "a=1", "--search"], [*ADDED, "-c", "a=1", "--search"]),
    ],
)
def test_codex_is_pointed_at_the_proxy_and_the_project(
    given: list[str], expected: list[str]
) -> None:
    assert arguments_for_codex(given, "/s", "/p") == expected


@pytest.mark.parametrize(
    "given",
    [
        *(["exec", "hi"], ["e", "hi"], ["login"], ["mcp", "list"], ["app-server"], ["queue"]),
        *(["-m", "o3", "exec", "hi"], ["--remote", "ws://x"], ["--remote=ws://x", "resume"]),
        *(["--no-daemon"], ["--help"], ["resume", "-h"], ["--version"], ["-V"]),
    ],
    ids=" ".join,
)
def test_what_is_no_tui_of_ours_is_left_alone(given: list[str]) -> None:
    assert arguments_for_codex(given, "/s", "/p") == given


def test_no_permission_is_ever_added() -> None:
    for given in ([], ["resume"], ["fork"], ["agents"], ["hi"]):
        added = set(arguments_for_codex(given, "/s", "/p")) - set(given)
        assert added == set(ADDED)


def program(shell: Shell, name: str) -> Path:
    """A stand-in that shows what it was given."""
    path = shell.home / name
    path.write_text('#!/bin/sh\nfor a in "$@"; do echo "<$a>"; done\nexit 7\n', encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.mark.realtime
async def test_codex_replaces_the_command_and_its_exit_code_is_the_commands(shell: Shell) -> None:
    shell.more = {"AGENTBRIDGE_CODEX": str(program(shell, "my-codex"))}
    (shell.runtime / "codex.sock").touch()
    async with served(shell.runtime):
        done = await shell.ctl("codex", "resume", "--last", "-m", "o3")
    assert done.code == 7
    assert done.out.splitlines() == [
        *("<resume>", "<--remote>", f"<unix://{shell.runtime}/codex.sock>"),
        *("<-C>", f"<{shell.project}>", "<--last>", "<-m>", "<o3>"),
    ]


@pytest.mark.realtime
async def test_codex_needs_the_daemon_only_for_its_tui(shell: Shell) -> None:
    shell.more = {"AGENTBRIDGE_CODEX": str(program(shell, "my-codex"))}
    done = await shell.ctl("codex")
    assert done.code == 3
    assert "start it with" in done.err
    done = await shell.ctl("codex", "exec", "--help")
    assert (done.code, done.out) == (7, "<exec>\n<--help>\n")
    async with served(shell.runtime):
        done = await shell.ctl("codex")
        assert done.code == 1
        assert "the Codex proxy is not up" in done.err


@pytest.mark.realtime
async def test_claude_gets_its_arguments_and_a_missing_plugin_is_told(shell: Shell) -> None:
    shell.more = {"AGENTBRIDGE_CLAUDE": str(program(shell, "my-claude"))}
    done = await shell.ctl("claude", "-p", "--help", "hi")
    assert (done.code, done.out) == (7, "<-p>\n<--help>\n<hi>\n")
    assert "`agentbridgectl plugin install`" in done.err
    settings = shell.home / ".claude" / "settings.json"
    settings.parent.mkdir()
    settings.write_text("{", encoding="utf-8")
    assert "plugin install" in (await shell.ctl("claude")).err
    settings.write_text(json.dumps({"enabledPlugins": {"agentbridge@x": False}}), encoding="utf-8")
    assert "plugin install" in (await shell.ctl("claude")).err
    settings.write_text(json.dumps({"enabledPlugins": {"agentbridge@x": True}}), encoding="utf-8")
    assert (await shell.ctl("claude")).err == ""


@pytest.mark.realtime
@pytest.mark.parametrize("name", ["codex", "claude"])
async def test_a_program_that_is_missing_is_named_with_its_variable(
    shell: Shell, name: str
) -> None:
    variable = f"AGENTBRIDGE_{name.upper()}"
    shell.more = {"PATH": str(shell.home)}
    done = await shell.ctl(name)
    assert done.code == 1
    assert variable in done.err
    shell.more = {variable: "/nowhere"}
    done = await shell.ctl(name)
    assert done.code == 1
    assert variable in done.err
