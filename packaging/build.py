"""
Build a package: ``python packaging/build.py deb|rpm [--out DIRECTORY] [--version VERSION]``.

Each wraps the same staged tree (stage.py) and needs its own tool: dpkg-buildpackage with debhelper,
or rpmbuild. Prints the package's path. Nothing of the checkout is changed but ``build/``.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path

import stage
from stage import SOURCE, WHEELS, Failed

import agentbridged

RECIPES = SOURCE / "packaging"
OUT = SOURCE / "build" / "packages"
NAME = "agentbridge"
NEEDED = {
    "deb": ("dpkg-buildpackage", "dh", "apt install dpkg-dev debhelper"),
    "rpm": ("rpmbuild", "rpmbuild", "apt install rpm; dnf install rpm-build"),
}
"""What builds each kind, and how that is installed."""


def deb(work: Path, version: str) -> Path:
    """Build the .deb of the tree that is staged in *work*."""
    recipe = work / "debian"
    shutil.copytree(RECIPES / "deb", recipe)
    maintainer = re.search(r"(?m)^Maintainer: (.*)$", (recipe / "control").read_text("utf-8"))
    assert maintainer is not None
    (recipe / "changelog").write_text(
        f"{NAME} ({version}) unstable; urgency=medium\n\n"
        "  * What changed: /usr/share/doc/agentbridge/NEWS.md.gz\n\n"
        f" -- {maintainer[1]}  {formatdate(_date())}\n",
        encoding="utf-8",
    )
    _run(["dpkg-buildpackage", "--build=binary", "--unsigned-source", "--unsigned-changes"], work)
    return work.parent / f"{NAME}_{version}_all.deb"


def rpm(work: Path, version: str) -> Path:
    """Build the .rpm of the tree that is staged in *work*."""
    top = work / "rpmbuild"
    defines = {"_topdir": top, "agentbridge_version": version, "agentbridge_tree": work / "tree"}
    options = [word for key, value in defines.items() for word in ("--define", f"{key} {value}")]
    _run(["rpmbuild", "-bb", *options, str(RECIPES / "rpm" / f"{NAME}.spec")], work)
    (package,) = top.glob("RPMS/noarch/*.rpm")
    return package


KINDS: dict[str, Callable[[Path, str], Path]] = {"deb": deb, "rpm": rpm}


def build(kind: str, out: Path = OUT, version: str | None = None, wheels: Path = WHEELS) -> Path:
    """Build one package into *out* and return its path; raises :exc:`stage.Failed`."""
    *programs, remedy = NEEDED[kind]
    for program in programs:
        if shutil.which(program) is None:
            raise Failed(f"{program} is missing, which builds the .{kind} ({remedy})")
    with tempfile.TemporaryDirectory(prefix="agentbridge-build-") as scratch:
        work = Path(scratch) / "source"
        stage.stage(work / "tree", wheels, version)
        package = KINDS[kind](work, version or agentbridged.__version__)
        out.mkdir(parents=True, exist_ok=True)
        return Path(shutil.move(package, out / package.name))


def _date() -> float:
    """Return the moment that the package is dated by, in seconds since 1970."""
    return float(os.environ.get("SOURCE_DATE_EPOCH") or time.time())


def _run(command: list[str], directory: Path) -> None:
    done = subprocess.run(
        command,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Failed(f"{command[0]} failed:\n{done.stdout}")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Build a package of agentbridge.")
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--version", help="instead of the checkout's, to try an upgrade")
    parser.add_argument("--wheels", type=Path, default=WHEELS)
    given = parser.parse_args()
    try:
        print(build(given.kind, given.out, given.version, given.wheels))
    except Failed as error:
        sys.exit(f"build.py: {error}")


if __name__ == "__main__":
    main()
