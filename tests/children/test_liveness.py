import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from agentbridged.children import liveness
from agentbridged.children.liveness import Identity, identify, wait_for_end

PAUSE = [sys.executable, "-c", "import signal; signal.pause()"]


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(PAUSE) as started:
        yield started
        started.kill()


def known(process: subprocess.Popen[bytes]) -> Identity:
    found = identify(process.pid)
    assert found is not None
    return found


@pytest.mark.realtime
async def test_the_end_of_a_child_is_noticed_although_it_is_not_reaped(
    process: subprocess.Popen[bytes],
) -> None:
    identity = known(process)
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(wait_for_end(identity))
        await asyncio.to_thread(lambda: None)
        assert not waiting.done()
        process.kill()


@pytest.mark.realtime
async def test_the_end_of_somebody_elses_child_is_noticed() -> None:
    # Its output goes elsewhere, or the pipe would stay open as long as it lives.
    script = f"import subprocess as s; print(s.Popen({PAUSE!r}, stdout=-3, stderr=-3).pid)"
    parent = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script], capture_output=True, check=True
    )
    identity = identify(int(parent.stdout))
    assert identity is not None
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(wait_for_end(identity))
        os.kill(identity.pid, signal.SIGKILL)  # noqa: TID251 - of this test


@pytest.mark.realtime
async def test_waiting_for_what_has_ended_before_returns_at_once(
    process: subprocess.Popen[bytes],
) -> None:
    identity = known(process)
    process.kill()
    process.wait()
    async with asyncio.timeout(30):
        await wait_for_end(identity)


async def test_where_the_kernel_offers_nothing_it_looks_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = iter([True, True, True, False])
    monkeypatch.setattr(liveness, "_open_watch", lambda pid: None)
    monkeypatch.setattr(liveness, "is_alive", lambda identity: next(looks))
    await wait_for_end(Identity(1, 1.0))
    assert asyncio.get_running_loop().time() == 2 * liveness.POLL
