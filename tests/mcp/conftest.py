"""A short home for a shim of its own, and a world for those of the real Claude Code."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.world import World


@pytest.fixture
def home() -> Iterator[Path]:
    """A short directory: the path of a Unix socket has to fit."""
    with tempfile.TemporaryDirectory(prefix="ab", dir="/tmp") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A private world with the plugin installed, and no daemon but a scripted one."""
    with World.open() as world:
        world.install_plugin()
        world.runtime.mkdir(mode=0o700, exist_ok=True)
        yield world
