"""What all ways of running the service share."""

import os
from pathlib import Path

import pytest

from agentbridged import lock
from agentbridged.errors import Refused
from agentbridged.paths import Paths
from agentbridged.service.contract import Programs, carried, end_if_possible, refuse_another, write


def test_only_our_own_settings_are_carried_over() -> None:
    shell = {"AGENTBRIDGE_CODEX": "/x", "AGENTBRIDGE_CONFIG": "", "OPENAI_API_KEY": "secret"}
    assert carried(shell) == {"AGENTBRIDGE_CODEX": "/x"}


def test_a_daemon_outside_the_service_is_named(tmp_path: Path) -> None:
    paths = Paths(tmp_path, tmp_path, tmp_path / "config.toml")
    refuse_another(paths)
    with lock.held(paths.lock_file), pytest.raises(Refused, match=f"pid {os.getpid()}"):
        refuse_another(paths)
    with lock.held(paths.lock_file):
        refuse_another(paths, ours=os.getpid())


def test_a_daemon_that_cannot_be_run_any_more_keeps_nobody_from_going_on() -> None:
    def broken(programs: Programs) -> None:
        raise Refused(f"{programs.daemon[0]} is broken")

    assert end_if_possible(lambda _: None, Programs(("/x",), ())) == []
    (note,) = end_if_possible(broken, Programs(("/x",), ()))
    assert note.startswith("/x is broken; ")


def test_a_file_is_written_once(tmp_path: Path) -> None:
    file = tmp_path / "a" / "unit"
    assert write(file, "text")
    assert file.stat().st_mode & 0o777 == 0o644
    assert not write(file, "text")
    assert write(file, "other")
    assert [p.name for p in file.parent.iterdir()] == ["unit"]
