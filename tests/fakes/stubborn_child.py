"""
A managed child that misbehaves on demand; each knob is an argument.

``--ignore SIGTERM`` (may be repeated), ``--exit N`` ends at once with status N, ``--after FILE``
waits for that exit until FILE exists, ``--grandchild`` leaves a process of its group behind and
prints its pid. Prints ``ready`` once its signals are arranged, and each signal it gets.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import threading
from pathlib import Path


def main() -> int:
    """Misbehave until killed, or as told."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--ignore", action="append", default=[])
    parser.add_argument("--exit", type=int)
    parser.add_argument("--after", type=Path)
    parser.add_argument("--grandchild", action="store_true")
    options = parser.parse_args()
    for name in options.ignore:
        signal.signal(signal.Signals[name], lambda number, _: print(f"got {number}", flush=True))
    if options.grandchild:
        left = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
        print(f"grandchild {left.pid}", flush=True)
    print("ready", flush=True)
    never = threading.Event()
    while options.after and not options.after.exists():
        never.wait(0.02)
    if options.exit is not None:
        return int(options.exit)
    while True:
        signal.pause()


if __name__ == "__main__":
    sys.exit(main())
