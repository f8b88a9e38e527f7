"""Run every benchmark of this directory and print their findings one below the other."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path


def main() -> int:
    """Run ``main()`` of each ``bench_*.py``; one that fails does not stop the others."""
    failed = []
    for path in sorted(Path(__file__).parent.glob("bench_*.py")):
        print(f"\n── {path.stem}", flush=True)
        try:
            importlib.import_module(f"tests.bench.{path.stem}").main()
        except Exception as error:
            print(f"failed: {error!r}", flush=True)
            failed.append(path.stem)
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
