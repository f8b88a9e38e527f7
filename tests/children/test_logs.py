"""The logs of children that run for weeks."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from agentbridged.children import logs


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(logs, "LIMIT", 5)
    log = tmp_path / "child.log"
    log.touch(mode=0o600)
    return log


async def test_a_child_that_writes_for_weeks_is_looked_after_while_it_writes(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    off_the_loop: list[Path] = []

    async def to_thread(look: Callable[[Path], None], log: Path) -> None:
        off_the_loop.append(log)
        look(log)

    monkeypatch.setattr(asyncio, "to_thread", to_thread)  # the clock would not wait for a real one
    old = log.with_name("child.log.1")

    def there() -> tuple[bytes, bytes]:
        return old.read_bytes(), log.read_bytes()

    with log.open("ab", buffering=0) as child:
        child.write(b"complaint")
        async with asyncio.TaskGroup() as group:
            keeping = group.create_task(logs.keep_small([log]))
            await asyncio.sleep(1)
            assert there() == (b"laint", b"")
            child.write(b"hm")
            await asyncio.sleep(logs.EVERY)
            assert there() == (b"laint", b"hm")
            child.write(b", again")
            await asyncio.sleep(logs.EVERY)
            keeping.cancel()
    assert there() == (b"again", b"")
    assert off_the_loop == [log] * 3


def test_of_a_log_that_grew_beyond_measure_only_the_end_is_kept(log: Path) -> None:
    with log.open("wb") as file:
        file.truncate(10**9)
        file.seek(0, 2)
        file.write(b"it")
    logs.begin_anew(log)
    assert log.with_name("child.log.1").read_bytes() == b"\0\0\0it"
    assert log.stat().st_size == 0


def test_what_is_kept_is_private(log: Path) -> None:
    log.write_text("complaint", encoding="utf-8")
    logs.begin_anew(log)
    assert log.with_name("child.log.1").stat().st_mode & 0o777 == 0o600


def test_a_log_that_is_not_there_or_cannot_be_kept_stops_nobody(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    logs.begin_anew(log.with_name("none"))
    log.write_text("complaint", encoding="utf-8")
    monkeypatch.setattr(logs, "_write", full)
    logs.begin_anew(log)
    assert log.read_bytes() == b""
