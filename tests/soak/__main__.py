"""
``python -m tests.soak``: run it, print the ledger; status 1 unless all is accounted for.

``SOAK_SECONDS`` (600) is how long faults are inflicted, ``SOAK_SEED`` (random) the dice. The log is
kept beside the programs' cache, and its path printed.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time

from tests.lab import agents
from tests.soak.run import Plan, soak

HEAD = """\
Two bridges: two projects, in each a real Claude Code and a real Codex TUI behind the proxy, one
app-server, one daemon, a relay before every socket; only the two models are scripted, and a person
writes through the admin door. The governor is off (nothing but agents talks). Truth is what the
models' requests, Claude's transcripts and Codex's rollout files hold, against what each sender was
told.
"""


def main() -> int:
    """Run one soak."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the world is closed
    seconds = float(os.environ.get("SOAK_SECONDS") or 600)
    seed = int(os.environ.get("SOAK_SEED") or random.randrange(10_000))
    directory = agents.cache_dir() / "soak"
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{time.strftime('%Y%m%d-%H%M%S')}-seed{seed}.log"
    with path.open("w", encoding="utf-8") as log:

        def say(line: str) -> None:
            print(line, flush=True)
            print(line, file=log, flush=True)

        say(f"soak of {seconds:g} s with seed {seed}; log: {path}\n\n{HEAD}")
        ledger = soak(Plan(seconds, seed), say)
        say("")
        for line in ledger.lines():
            say(line)
    return 0 if ledger.passed else 1


if __name__ == "__main__":
    sys.exit(main())
