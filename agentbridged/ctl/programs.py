"""Where this installation's programs are, by absolute paths that outlive an upgrade."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path


def command(program: str, module: str) -> list[str]:
    """
    Find the command that runs *program* of this installation.

    A link on PATH that leads to it is preferred, since it outlives an upgrade that moves the
    installation. Without the program, the interpreter runs its *module*; ``-P`` keeps it from
    importing out of the current directory.
    """
    own = _beside(program)
    found = shutil.which(program)
    if found and own.exists() and Path(found).resolve() == own.resolve():
        return [str(Path(found).absolute())]
    if own.exists():
        return [str(own)]
    if _runs_installed() and found:
        return [str(Path(found).absolute())]
    return [sys.executable, "-P", "-m", module]


def _beside(program: str) -> Path:
    """Return where *program* lies, if it lies where the running one does, else the interpreter."""
    running = Path(sys.argv[0]).absolute()
    if running.name.startswith("agentbridge") and running.with_name(program).exists():
        return running.with_name(program)
    return Path(sys.executable).parent / program


def _runs_installed() -> bool:
    """Whether this code lies where the interpreter finds it without help."""
    return "site-packages" in __file__ or "dist-packages" in __file__
