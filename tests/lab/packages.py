"""
Packages of this checkout, built once for each version and kept until the tests end.

They are in the cache directory, since a :class:`tests.lab.machine.Machine` has another ``/tmp``. So
are the wheels that they vendor, which pip fetches once.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.lab import agents

SOURCE = Path(__file__).parent.parent.parent
BUILD_PATIENCE = 300
"""Seconds for one package; pip may have to fetch first."""


def why_no_deb() -> str:
    """Say in a few words why no .deb can be built and installed here; empty when one can."""
    return _why_not(("dpkg-buildpackage", "dh"), "dpkg-dev debhelper")


def why_no_rpm() -> str:
    """Say in a few words why no .rpm can be built and installed here; empty when one can."""
    return _why_not(("rpmbuild", "rpm"), "rpm")


def _why_not(tools: tuple[str, ...], packages: str) -> str:
    if os.getuid() != 0:
        return "a package is installed by root"
    if missing := [tool for tool in tools if shutil.which(tool) is None]:
        return f"{' and '.join(missing)} missing (apt install {packages})"
    if not Path("/usr/lib/python3/dist-packages/psutil").is_dir():
        return "the distribution's psutil is missing (apt install python3-psutil)"
    return ""


@functools.cache
def build_deb(version: str) -> Path:
    """Return a .deb of this checkout that calls itself *version*."""
    return _build("deb", version)


@functools.cache
def build_rpm(version: str) -> Path:
    """Return a .rpm of this checkout that calls itself *version*."""
    return _build("rpm", version)


def wheels() -> Path:
    """Return where the vendored wheels are kept."""
    return agents.cache_dir() / "wheels"


def _build(kind: str, version: str) -> Path:
    script = SOURCE / "packaging" / "build.py"
    done = subprocess.run(
        [
            *(sys.executable, str(script), kind, "--version", version),
            *("--out", str(shelf()), "--wheels", str(wheels())),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=BUILD_PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Path(done.stdout.strip())


@functools.cache
def shelf() -> Path:
    """Return the directory of this run's packages, which goes when the tests end."""
    above = agents.cache_dir() / "packages"
    above.mkdir(parents=True, exist_ok=True)
    shelf = Path(tempfile.mkdtemp(prefix="run-", dir=above))
    atexit.register(shutil.rmtree, shelf, ignore_errors=True)
    return shelf
