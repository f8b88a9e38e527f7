"""An installation that is upgraded under its running program, in each way it may be."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from agentbridged.installed import Edition


@pytest.fixture
def package(tmp_path: Path) -> Path:
    package = tmp_path / "lib" / "agentbridged"
    (package / "proxy").mkdir(parents=True)
    for name in ("__init__.py", "proxy/relay.py", "notes.txt"):
        (package / name).write_text("1", encoding="utf-8")
    return package


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A link such as pipx and Homebrew make."""
    (tmp_path / "1" / "agentbridged").parent.mkdir()
    (tmp_path / "1" / "agentbridged").write_text("", encoding="utf-8")
    link = tmp_path / "agentbridged"
    link.symlink_to(tmp_path / "1" / "agentbridged")
    return link


@pytest.fixture
def edition(package: Path, program: Path) -> Edition:
    return Edition(package, str(program))


def test_nothing_was_replaced_when_nothing_changed(edition: Edition, package: Path) -> None:
    (package / "notes.txt").write_text("other", encoding="utf-8")
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "relay.cpython-311.pyc").write_bytes(b"")
    assert not edition.is_replaced()


def test_files_replaced_in_place_are_noticed(edition: Edition, package: Path) -> None:
    (package / "proxy" / "relay.py").write_text("22", encoding="utf-8")
    assert edition.is_replaced()


def test_a_file_of_the_same_size_is_noticed_by_its_time(edition: Edition, package: Path) -> None:
    os.utime(package / "__init__.py", (1, 1))
    assert edition.is_replaced()


def test_a_program_that_leads_elsewhere_is_noticed(
    edition: Edition, program: Path, tmp_path: Path
) -> None:
    shutil.copytree(tmp_path / "1", tmp_path / "2")
    program.unlink()
    program.symlink_to(tmp_path / "2" / "agentbridged")
    assert edition.is_replaced()


def test_what_was_removed_is_not_replaced(
    edition: Edition, package: Path, program: Path, tmp_path: Path
) -> None:
    shutil.rmtree(package)
    shutil.rmtree(tmp_path / "1")
    assert not edition.is_replaced()
