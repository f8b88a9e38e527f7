"""A small disk of its own, which a test can fill; needs root, as mounting does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

needs_a_disk = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or shutil.which("mount") is None,
    reason="only root can mount a small tmpfs",
)
SIZE = 4 * 1024 * 1024


@contextmanager
def small_disk(at: Path, size: int = SIZE) -> Iterator[Path]:
    """Mount a tmpfs of *size* bytes; skip where even root may not (a locked-down container)."""
    at.mkdir(mode=0o700, exist_ok=True)
    options = f"size={size},mode=0700"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(at)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield at
    finally:
        subprocess.run(["umount", "-l", str(at)], check=True)


def fill(disk: Path, *, leave: int = 0) -> Path:
    """Take all of a disk's free room but *leave* bytes; deleting the returned file frees it."""
    ballast = disk / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size in (65536, 4096, 1):
            while room(disk) - leave >= size:
                try:
                    file.write(b"\0" * size)
                except OSError:
                    break
    return ballast


def room(disk: Path) -> int:
    """Return the bytes that are free."""
    found = os.statvfs(disk)
    return found.f_bavail * found.f_frsize
