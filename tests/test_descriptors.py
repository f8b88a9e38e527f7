"""With no file descriptor left nothing is said twice, and what must be known is known."""

import asyncio
import errno
import logging
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from agentbridged.descriptors import QUIET, RESERVE, Complaints, Reserve
from agentbridged.identity import identify, is_alive, is_stopped


@contextmanager
def none_left() -> Iterator[None]:
    """Use up this process's descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    probe = os.open(os.devnull, os.O_RDONLY)
    resource.setrlimit(resource.RLIMIT_NOFILE, (probe + 8, hard))
    taken = [probe]
    try:
        while True:
            try:
                taken.append(os.open(os.devnull, os.O_RDONLY))
            except OSError:
                break
        yield
    finally:
        for each in taken:
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def reserve() -> Iterator[Reserve]:
    RESERVE.fill()
    yield RESERVE
    RESERVE.release()


@pytest.mark.realtime
def test_a_live_process_is_known_to_live_although_nothing_can_be_opened(reserve: Reserve) -> None:
    before = identify(os.getpid())
    assert before is not None
    with none_left():
        for _ in range(3):
            assert identify(os.getpid()) == before
            assert is_alive(before)
            assert not is_stopped(before)


@pytest.mark.realtime
def test_without_a_reserve_it_is_not_known_rather_than_wrong() -> None:
    before = identify(os.getpid())
    assert before is not None
    with none_left(), pytest.raises(OSError, match="Too many open files"):
        is_alive(before)


def test_another_error_spends_no_reserve(reserve: Reserve) -> None:
    def read() -> None:
        raise FileNotFoundError(errno.ENOENT, "gone")

    with pytest.raises(FileNotFoundError):
        reserve.reading(read)


async def test_it_is_said_once_in_a_spell_and_its_end_is_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    loop = asyncio.get_running_loop()
    complaints = Complaints()
    full = {"message": "accept", "exception": OSError(errno.EMFILE, "Too many open files")}
    for _ in range(5):
        complaints.hear(loop, full)
        await asyncio.sleep(1)
    assert [r.getMessage()[:26] for r in caplog.records] == ["no file descriptor is left"]
    await asyncio.sleep(QUIET)
    assert caplog.records[-1].getMessage() == "there are file descriptors again"
    complaints.hear(loop, full)
    complaints.end()
    assert len(caplog.records) == 3


async def test_any_other_complaint_is_asyncios_own(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.get_running_loop()
    Complaints().hear(loop, {"message": "something else", "exception": KeyError("x")})
    assert "something else" in caplog.text
