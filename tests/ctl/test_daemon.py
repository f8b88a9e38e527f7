"""Which bridge a person means."""

from pathlib import Path

import pytest

from agentbridged.ctl.daemon import here, place
from agentbridged.errors import AgentBridgeError


def test_a_bridge_is_named_by_its_id_or_by_a_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert place(None) == {"project_dir": str(tmp_path)}
    assert place("a-1") == {"bridge": "a-1"}
    assert place(".") == {"project_dir": str(tmp_path)}
    assert place("./x/..") == {"project_dir": str(tmp_path)}
    assert place("/elsewhere/") == {"project_dir": "/elsewhere"}


def test_a_directory_that_is_gone_is_an_error_for_people(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(AgentBridgeError, match="cd to another"):
        here()
