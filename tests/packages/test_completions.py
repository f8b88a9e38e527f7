"""The shells' completions, tried by pressing Tab in the real shells."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import completions
import pytest

from tests.lab.terminal import Terminal

pytestmark = pytest.mark.slow

SHELLS = {
    "bash": ("bash", "--norc", "--noprofile", "-i"),
    "zsh": ("zsh", "-f", "-i"),
    "fish": ("fish", "--no-config", "--interactive"),
}
LOADING = {
    "bash": "PS1='ready: '; source {share}/bash-completion/completions/agentbridgectl",
    "zsh": (
        "PS1='ready: '; fpath=({share}/zsh/site-functions $fpath);"
        " autoload -Uz compinit; compinit -u -D"
    ),
    "fish": (
        "function fish_prompt; echo 'ready: '; end;"
        " source {share}/fish/vendor_completions.d/agentbridgectl.fish"
    ),
}


@pytest.fixture(scope="module")
def share(tmp_path_factory: pytest.TempPathFactory) -> Path:
    share = tmp_path_factory.mktemp("share")
    completions.write(share)
    return share


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest, share: Path, tmp_path: Path) -> Iterator[Terminal]:
    if missing := [tool for tool in ("tmux", request.param) if not shutil.which(tool)]:
        pytest.skip(f"{missing[0]} is missing (apt install {missing[0]})")
    environment = {
        "HOME": str(tmp_path),
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "TERM": "screen",
        "LANG": "C.UTF-8",
    }
    terminal = Terminal(
        tmp_path / "tmux", SHELLS[request.param], environment=environment, directory=tmp_path
    )
    try:
        terminal.key(LOADING[request.param].format(share=share), "Enter")
        terminal.wait_for("\nready:")
        yield terminal
    finally:
        terminal.close()


@pytest.mark.parametrize(
    ("typed", "whole"),
    [
        ("agentbridgectl revi", "agentbridgectl revive"),
        ("agentbridgectl kill --rea", "agentbridgectl kill --reason"),
        ("agentbridgectl send --when-busy st", "agentbridgectl send --when-busy steer"),
        ("agentbridgectl config pa", "agentbridgectl config path"),
    ],
)
def test_tab_completes_commands_options_and_choices(
    shell: Terminal, typed: str, whole: str
) -> None:
    shell.key(typed)
    shell.wait_for(typed)  # a Tab among typed letters is one to zsh, as in a paste
    shell.key("Tab")
    shell.wait_for(whole)
