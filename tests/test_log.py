"""Logging on real files, a real full device and a closed stderr."""

from __future__ import annotations

import io
import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentbridged import log
from agentbridged.paths import LOG_FILE

LOGGER = logging.getLogger("agentbridged.test")


@pytest.fixture(autouse=True)
def _leave_logging_as_it_was() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("", "websockets", "asyncio")]
    levels = [logger.level for logger in loggers]
    yield
    log.take_down()
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture
def stderr() -> io.StringIO:
    return io.StringIO()


def text_of(directory: Path) -> str:
    return (directory / LOG_FILE).read_text(encoding="utf-8")


def test_a_line_goes_to_stderr_and_to_the_file(tmp_path: Path, stderr: io.StringIO) -> None:
    log.set_up(tmp_path, environment={}, stream=stderr)
    LOGGER.info("seat %s given", "ab")
    assert stderr.getvalue().endswith(" INFO agentbridged.test: seat ab given\n")
    assert text_of(tmp_path) == stderr.getvalue()


@pytest.mark.parametrize(
    ("level", "priority"),
    [("critical", 2), ("error", 3), ("warning", 4), ("info", 6), ("debug", 7)],
)
def test_the_journal_is_told_the_priority(
    tmp_path: Path, stderr: io.StringIO, level: str, priority: int
) -> None:
    log.set_up(tmp_path, level=logging.DEBUG, environment={"JOURNAL_STREAM": "8:1"}, stream=stderr)
    getattr(LOGGER, level)("hello")
    assert stderr.getvalue() == f"<{priority}>agentbridged.test: hello\n"


def test_one_record_is_one_line(tmp_path: Path, stderr: io.StringIO) -> None:
    log.set_up(tmp_path, environment={"JOURNAL_STREAM": "8:1"}, stream=stderr)
    LOGGER.info("a\n<0>forged\x1b[31m")
    assert stderr.getvalue() == "<6>agentbridged.test: a\\n<0>forged\\x1b[31m\n"
    assert len(text_of(tmp_path).splitlines()) == 1


def test_the_file_is_private_and_bounded(
    tmp_path: Path, stderr: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "FILE_BYTES", 2000)
    (tmp_path / LOG_FILE).touch(0o644)
    log.set_up(tmp_path, environment={}, stream=stderr)
    for number in range(500):
        LOGGER.info("line %d", number)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 1 + log.FILE_BACKUPS
    assert all(file.stat().st_size <= 2000 for file in files)
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_a_full_disk_loses_the_line_and_nothing_else(tmp_path: Path, stderr: io.StringIO) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    log.set_up(tmp_path, environment={}, stream=stderr)
    (file,) = (h for h in logging.getLogger().handlers if isinstance(h, log.PrivateFile))
    assert file.stream is not None
    descriptor = file.stream.fileno()
    kept = os.dup(descriptor)
    with open("/dev/full", "wb") as full:
        os.dup2(full.fileno(), descriptor)
    LOGGER.info("lost in the file")
    os.dup2(kept, descriptor)
    os.close(kept)
    LOGGER.info("there is room again")
    assert "there is room again" in text_of(tmp_path)
    assert "lost in the file" not in text_of(tmp_path)
    assert "lost in the file" in stderr.getvalue()


def test_a_closed_stderr_loses_the_line_and_nothing_else(
    tmp_path: Path, stderr: io.StringIO
) -> None:
    log.set_up(tmp_path, environment={}, stream=stderr)
    stderr.close()
    LOGGER.info("only in the file")
    assert "only in the file" in text_of(tmp_path)


def test_a_broken_pipe_on_stderr_is_no_error(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8", buffering=1) as broken:
        log.set_up(tmp_path, environment={}, stream=broken)
        LOGGER.info("only in the file")
        assert "only in the file" in text_of(tmp_path)
        log.take_down()
        # What could not be written is still buffered; give it somewhere to go.
        with open(os.devnull, "wb") as hole:
            os.dup2(hole.fileno(), writer)


def test_a_directory_that_cannot_be_written_is_told_once(
    tmp_path: Path, stderr: io.StringIO
) -> None:
    log.set_up(tmp_path / "missing", environment={}, stream=stderr)
    LOGGER.info("still logged")
    first, second = stderr.getvalue().splitlines()
    assert "no log file in" in first
    assert second.endswith("still logged")


def test_a_lone_surrogate_is_written_as_an_escape(
    tmp_path: Path, stderr: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ours alone: pytest's own handlers would carry the surrogate into its report.
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    log.set_up(tmp_path, environment={}, stream=stderr)
    LOGGER.info("path %s", b"\xff".decode(errors="surrogateescape"))
    log.take_down()
    assert "path \\udcff" in text_of(tmp_path)


def test_setting_up_twice_logs_once(tmp_path: Path, stderr: io.StringIO) -> None:
    log.set_up(tmp_path, environment={}, stream=stderr)
    log.set_up(tmp_path, environment={}, stream=stderr)
    LOGGER.info("once")
    assert stderr.getvalue().count("once") == 1


def test_the_libraries_own_chatter_is_left_out(tmp_path: Path, stderr: io.StringIO) -> None:
    log.set_up(tmp_path, level=logging.DEBUG, environment={}, stream=stderr)
    logging.getLogger("websockets.server").info("connection open")
    logging.getLogger("asyncio").debug("Using selector")
    assert stderr.getvalue() == ""


def test_without_a_stream_it_is_stderr(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log.set_up(tmp_path, environment={})
    LOGGER.info("hello")
    assert capfd.readouterr().err.endswith("hello\n")
