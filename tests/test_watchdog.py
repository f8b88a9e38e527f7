"""A watchdog's thread, with an end that the test hears of instead of dying."""

from __future__ import annotations

import subprocess
import sys
import threading

from agentbridged.watchdog import OwnWatchdog

BOUND = 30


def test_who_stands_still_is_ended() -> None:
    ended = threading.Event()
    watchdog = OwnWatchdog(0.01, ended.set)
    assert ended.wait(BOUND)
    watchdog.close()


def test_who_makes_progress_is_left_alone() -> None:
    ended = threading.Event()
    looks = threading.Semaphore(0)
    watchdog = OwnWatchdog(0.01, ended.set)
    wait = watchdog._closed.wait

    def look(timeout: float | None = None) -> bool:
        watchdog.beat()
        looks.release()
        return wait(timeout)

    watchdog._closed.wait = look  # type: ignore[method-assign]
    for _ in range(20):
        assert looks.acquire(timeout=BOUND)
    watchdog.close()
    assert not ended.is_set()


def test_the_end_is_a_failure_that_tells_where_it_stood() -> None:
    program = (
        "import threading; from agentbridged.watchdog import OwnWatchdog\n"
        "def standing_still(): threading.Event().wait()\n"
        "OwnWatchdog(0.01); standing_still()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=BOUND, check=False
    )
    assert done.returncode == 1
    assert "standing_still" in done.stderr
