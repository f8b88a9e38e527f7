"""Fixtures of the proxy's tests."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A directory whose path leaves room for a Unix socket's name."""
    folder = Path(tempfile.mkdtemp(prefix="abp-"))
    yield folder
    shutil.rmtree(folder)
