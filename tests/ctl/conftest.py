"""A shell for every test of a command."""

from pathlib import Path

import pytest

from tests.ctl.shell import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)
