"""The recipes of other packagers: Homebrew's formula and Arch's PKGBUILD, by their own tools."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentbridged import __version__
from tests.lab.packages import SOURCE

pytestmark = pytest.mark.slow

FORMULA = SOURCE / "packaging" / "homebrew" / "agentbridge.rb"
PKGBUILD = SOURCE / "packaging" / "arch" / "PKGBUILD"
NOBODY = 65534


def need(tool: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is missing (apt install {tool})")


def run(*command: str | Path, cwd: Path = SOURCE) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*map(str, command)], cwd=cwd, capture_output=True, text=True, check=False
    )


def test_the_recipes_are_of_this_version() -> None:
    assert f"/agentbridge-{__version__}.tar.gz" in FORMULA.read_text(encoding="utf-8")
    assert f"\npkgver={__version__}\n" in PKGBUILD.read_text(encoding="utf-8")


def test_the_formula_is_good_ruby_in_homebrews_style() -> None:
    need("ruby")
    assert run("ruby", "-wc", FORMULA).stdout == "Syntax OK\n"
    need("rubocop")
    done = run("rubocop", "--cache", "false", FORMULA.parent)
    assert done.returncode == 0, done.stdout


@pytest.fixture
def beside() -> Iterator[Path]:
    """Return a copy of the PKGBUILD's folder that belongs to who may run makepkg: not to root."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "arch"
        shutil.copytree(PKGBUILD.parent, folder)
        if os.getuid() == 0:
            for path in (folder.parent, folder, *folder.iterdir()):
                shutil.chown(path, NOBODY, NOBODY)
        yield folder


def test_makepkg_reads_the_pkgbuild(beside: Path) -> None:
    need("makepkg")
    unprivileged = ["setpriv", f"--reuid={NOBODY}", "--clear-groups"] if os.getuid() == 0 else []
    done = run(*unprivileged, "makepkg", "--printsrcinfo", cwd=beside)
    assert done.returncode == 0, done.stderr
    told = [line.strip() for line in done.stdout.splitlines()]
    assert f"pkgver = {__version__}" in told
    assert "arch = any" in told
    assert "install = agentbridge.install" in told
    needed = ("python>=3.11", "python-msgspec", "python-psutil", "python-websockets")
    assert {f"depends = {name}" for name in needed} <= set(told)


def test_the_shell_of_the_recipes_is_good() -> None:
    need("shellcheck")
    # makepkg sets and reads these names, changes directory itself, and stops at an error.
    done = run("shellcheck", "-s", "bash", "-e", "SC2034,SC2154,SC2164", PKGBUILD)
    assert done.returncode == 0, done.stdout
    scripts = [
        *(SOURCE / "packaging" / "deb").glob("agentbridge.p*"),
        SOURCE / "packaging" / "deb" / "agentbridge.rtupdate",
        SOURCE / "packaging" / "arch" / "agentbridge.install",
        SOURCE / "packaging" / "tree" / "in-user-managers",
    ]
    done = run("shellcheck", "-s", "sh", *scripts)
    assert done.returncode == 0, done.stdout
