"""
The root file system of a Debian that is not this machine's, to boot with ``Machine(tree=…)``.

It lies in the cache directory; ``python -m tests.lab.debian`` makes it, which takes debootstrap,
root and some minutes. Tests only ask whether it is there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.lab import agents

RELEASE, SUITE = "13", "trixie"
BROUGHT = (
    *("systemd", "systemd-sysv", "libpam-systemd", "dbus", "dbus-user-session"),
    *("iproute2", "procps", "python3", "python3-psutil"),
)
"""What a machine needs to boot it, and what our package depends on."""


def tree() -> Path:
    """Return where the tree is, or would be."""
    return agents.cache_dir() / f"debian-{RELEASE}"


def why_not() -> str:
    """Say in a few words why it is not here; empty when it is."""
    return "" if tree().is_dir() else f"Debian {RELEASE} is not here (`make packages` fetches it)"


def make() -> str:
    """Make the tree if it is not there; returns why that cannot be, or an empty string."""
    if not why_not():
        return ""
    if os.getuid() != 0 or shutil.which("debootstrap") is None:
        return f"a tree of Debian {RELEASE} needs root and debootstrap"
    fresh = tree().with_suffix(f".{os.getpid()}.new")
    fresh.parent.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={','.join(BROUGHT)}", SUITE, fresh],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            return f"debootstrap failed: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        fresh.rename(tree())
        return ""
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def main() -> int:
    """Make the tree; that it cannot be made is said, and no failure."""
    print(f"tests.lab.debian: {make() or tree()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
