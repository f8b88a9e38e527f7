#!/usr/bin/env python3
"""
A ``launchctl`` that records what it is asked and answers as the real one does.

State and record are in the directory ``$FAKE_LAUNCHD``: ``calls`` has a line for each call; a file
``loaded`` is there while the job is, ``disabled`` while the job is disabled, and ``gui`` while
somebody is logged in at the screen. As on macOS, ``bootout`` returns before the job is gone
(``lingering`` counts the looks that it is still there), a ``bootstrap`` meanwhile fails with status
5, and one of a disabled job with 119.
"""

import os
import sys
from pathlib import Path

STATE = Path(os.environ["FAKE_LAUNCHD"])
LOOKS = 3
IN_OUT_ERROR, NOT_FOUND, IN_PROGRESS, DISABLED = 5, 113, 36, 119


def lingering() -> bool:
    """Whether an old job is still going; each look brings its end nearer."""
    file = STATE / "lingering"
    left = int(file.read_text()) if file.exists() else 0
    if left:
        file.write_text(str(left - 1))
    return left > 0


def show(target: str) -> int:
    kind, _, rest = target.partition("/")
    if kind == "gui" and not (STATE / "gui").exists():
        return NOT_FOUND
    if "/" not in rest:
        return 0
    loaded = STATE / "loaded"
    if loaded.exists() and loaded.read_text() == kind:
        print("org.agentbridge.agentbridged = {\n\tstate = running\n\n\tpid = 4711")
        print("\tlast exit code = (never exited)\n}")
        return 0
    return 0 if lingering() else NOT_FOUND


def bootstrap(domain: str) -> int:
    if (STATE / "disabled").exists():
        print("Bootstrap failed: 119: Service is disabled", file=sys.stderr)
        return DISABLED
    if lingering() or (STATE / "loaded").exists():
        print("Bootstrap failed: 5: Input/output error", file=sys.stderr)
        return IN_OUT_ERROR
    (STATE / "loaded").write_text(domain.partition("/")[0])
    return 0


def boot_out() -> int:
    (STATE / "loaded").unlink()
    (STATE / "lingering").write_text(str(LOOKS))
    print("Boot-out failed: 36: Operation now in progress", file=sys.stderr)
    return IN_PROGRESS


def main() -> int:
    with (STATE / "calls").open("a") as calls:
        calls.write(" ".join(sys.argv[1:]) + "\n")
    match sys.argv[1:]:
        case ["print", target]:
            return show(target)
        case ["enable", _]:
            (STATE / "disabled").unlink(missing_ok=True)
        case ["bootstrap", domain, _]:
            return bootstrap(domain)
        case ["bootout", _]:
            return boot_out()
        case ["kickstart", *_]:
            pass
        case _:
            return 64
    return 0


sys.exit(main())
