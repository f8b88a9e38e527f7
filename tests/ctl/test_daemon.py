"""Which bridge a person means."""

from pathlib import Path

import pytest

from agentbridged.ctl.daemon import here, place
from agentbridged.errors import AgentBridgeError
from tests.admin.desk import served
from tests.ctl.shell import Shell


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


@pytest.mark.realtime
async def test_a_shell_is_offered_the_bridges_at_a_tab(shell: Shell) -> None:
    shell.more = {"_AGENTBRIDGECTL_COMPLETE": "bash_complete"}
    async with served(shell.runtime) as desk:
        id = desk.ensure_bridge(str(shell.project))
        for words in ("kill", "history --bridge", "watch --bridge", "seat release"):
            shell.more |= {"COMP_WORDS": f"agentbridgectl {words} {id[:3]}"}
            shell.more |= {"COMP_CWORD": str(len(words.split()) + 1)}
            assert (await shell.ctl()).out == f"plain,{id}\n", words
        shell.more |= {"COMP_WORDS": "agentbridgectl kill no-such", "COMP_CWORD": "2"}
        assert (await shell.ctl()).out.strip() == ""
    shell.more |= {"COMP_WORDS": "agentbridgectl kill ", "COMP_CWORD": "2"}
    done = await shell.ctl()
    assert (done.code, done.out.strip(), done.err) == (0, "", "")
