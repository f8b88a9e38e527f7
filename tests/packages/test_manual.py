"""The man pages: made of what the programs know, and good roff."""

import shutil
import subprocess
from pathlib import Path

import click
import manual
import msgspec
import pytest

from agentbridged import __version__, config
from agentbridged.ctl.main import COMMANDS, cli

COMMAND, DAEMON, SERVER = "man1/agentbridgectl.1", "man8/agentbridged.8", "man1/agentbridge-mcp.1"
SETTINGS = "man5/agentbridge.toml.5"
PAGES = (COMMAND, DAEMON, SERVER, SETTINGS)


@pytest.fixture(scope="module")
def man(tmp_path_factory: pytest.TempPathFactory) -> Path:
    share = tmp_path_factory.mktemp("share")
    manual.write(share)
    return share / "man"


def plain(page: Path) -> str:
    """Return a page's text without roff's escapes."""
    text = page.read_text(encoding="utf-8")
    for escape in ("\\fB", "\\fI", "\\fR", "\\&", "\\"):
        text = text.replace(escape, "")
    return text


def every_command(
    command: click.Command, words: tuple[str, ...] = ()
) -> dict[tuple[str, ...], click.Command]:
    found = {words: command} if words else {}
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            found |= every_command(inner, (*words, name))
    return found


def test_every_command_and_option_is_in_the_manual(man: Path) -> None:
    text = plain(man / COMMAND)
    commands = every_command(cli)
    assert len(commands) > len(COMMANDS)
    for words, command in commands.items():
        assert f"\n.TP\n{' '.join(words)}" in text
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert parameter.opts[-1] in text, words


def test_every_setting_is_in_the_manual_with_its_default(man: Path) -> None:
    text = plain(man / SETTINGS)
    for table in msgspec.structs.fields(config.Settings):
        if isinstance(table.default, msgspec.Struct):
            assert f"\n.SS [{table.name}]\n" in text
            for field in msgspec.structs.fields(type(table.default)):
                assert f"\n{table.name}.{field.name} = " in text
    assert 'relay = "all" | "replies"' in text
    assert "governor.max_hops = whole number from 1 to 1000000" in text
    assert "Default: 20." in text


def test_every_page_has_this_version_in_its_head(man: Path) -> None:
    found = sorted(str(page.relative_to(man)) for page in man.rglob("*") if page.is_file())
    assert found == sorted(PAGES)
    for page in PAGES:
        first = (man / page).read_text(encoding="utf-8").splitlines()[0]
        assert first.startswith(".TH ")
        assert f"agentbridge {__version__}" in first


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_good_roff(man: Path, page: str) -> None:
    checks = {
        "man": ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"],
        "mandoc": ["mandoc", "-T", "lint", "-W", "warning"],
    }
    tools = [tool for tool in checks if shutil.which(tool)]
    if not tools:
        pytest.skip("neither man nor mandoc is here to check it (apt install man-db mandoc)")
    for tool in tools:
        done = subprocess.run(
            [*checks[tool], str(man / page)], capture_output=True, text=True, check=False
        )
        said = done.stderr + (done.stdout if tool == "mandoc" else "")
        assert (done.returncode, said) == (0, ""), tool


def test_a_setting_without_an_explanation_stops_the_making(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(manual, "_texts", lambda kind: {})
    with pytest.raises(manual.Undocumented, match=r"config\.Settings\.relay has no text below it"):
        list(manual.settings("1"))
