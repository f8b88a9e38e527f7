"""
Write the shells' completions: ``python packaging/completions.py SHARE``.

They are click's own: at a tab the shell asks the program, so they cannot differ from it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from agentbridged.__main__ import main as daemon
from agentbridged.ctl.main import cli

PROGRAMS: dict[str, click.Command] = {"agentbridgectl": cli, "agentbridged": daemon}
PLACES = {
    "bash": "bash-completion/completions/{}",
    "zsh": "zsh/site-functions/_{}",
    "fish": "fish/vendor_completions.d/{}.fish",
}
"""Below ``share``; Debian's zsh looks in ``zsh/vendor-completions`` instead."""


def script(shell: str, program: str) -> str:
    """Return the text that a shell reads."""
    kind = get_completion_class(shell)
    assert kind is not None
    variable = f"_{program}_COMPLETE".replace("-", "_").upper()
    return kind(PROGRAMS[program], {}, program, variable).source()


def write(share: Path) -> None:
    """Write every program's completions for every shell below *share*."""
    for shell, place in PLACES.items():
        for program in PROGRAMS:
            file = share / place.format(program)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(script(shell, program), encoding="utf-8")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Write the shells' completions.")
    parser.add_argument("share", type=Path, help="as /usr/share")
    write(parser.parse_args().share)


if __name__ == "__main__":
    main()
