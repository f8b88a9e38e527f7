"""A store with two bridges, for every test of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agentbridged.store import Store
from tests.store.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    store = Store(tmp_path / "agentbridge.db", clock)
    store.ensure_bridge("a-1", "/a")
    store.ensure_bridge("b-2", "/b")
    yield store
    store.close()
