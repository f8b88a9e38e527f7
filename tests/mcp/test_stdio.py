"""Bytes become lines, whatever pieces they come in, and no line is too much."""

from __future__ import annotations

import asyncio
import itertools
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentbridged.mcp.stdio import Lines, open_output, read


def cut(pieces: list[bytes], limit: int = 1000) -> list[bytes | None]:
    """Feed pieces; a line that was too long is ``None``."""
    seen: list[bytes | None] = []
    lines = Lines(seen.append, lambda: seen.append(None), limit)
    for piece in pieces:
        lines.feed(piece)
    lines.end()
    return seen


@settings(deadline=None)
@given(st.lists(st.binary(max_size=12).map(lambda b: b.replace(b"\n", b"")), max_size=6), st.data())
def test_the_same_lines_come_out_wherever_the_stream_is_cut(
    lines: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    edges = [0, *cuts, len(stream)]
    pieces = [stream[a:b] for a, b in itertools.pairwise(edges)]
    assert cut(pieces) == [line for line in lines if line.strip()]


def test_a_last_line_without_an_end_is_a_line() -> None:
    assert cut([b"a\nb"]) == [b"a", b"b"]


def test_a_line_over_the_limit_is_told_once_and_what_follows_is_read() -> None:
    assert cut([b"x" * 15, b"x" * 15, b"x\nnext\n"], limit=10) == [None, b"next"]


@pytest.mark.realtime
async def test_a_pipe_is_read_to_its_end() -> None:
    ours, theirs = os.pipe()
    seen: list[bytes] = []
    ended = asyncio.Event()
    with os.fdopen(ours, "rb") as stream, os.fdopen(theirs, "wb") as writer:
        transport = await read(stream, Lines(seen.append, lambda: None), ended.set)
        writer.write(b"one\ntwo\n")
        writer.close()
        async with asyncio.timeout(20):
            await ended.wait()
        assert transport is not None
    assert seen == [b"one", b"two"]


@pytest.mark.realtime
async def test_files_do_for_input_and_output_too(tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_bytes(b"one\ntwo")
    seen: list[bytes] = []
    ended = asyncio.Event()
    with source.open("rb") as stream:
        assert await read(stream, Lines(seen.append, lambda: None), ended.set) is None
    assert (seen, ended.is_set()) == ([b"one", b"two"], True)
    with target.open("wb") as stream:
        output = await open_output(stream)
        output.write(b"line")
        output.close()
    assert target.read_bytes() == b"line\n"


@pytest.mark.realtime
async def test_writing_to_somebody_who_left_is_no_error() -> None:
    ours, theirs = os.pipe()
    with os.fdopen(theirs, "wb", buffering=0) as stream:
        output = await open_output(stream)
        os.close(ours)
        output.write(b"line")
        output.write(b"line")
        output.close()
        await asyncio.sleep(0)
