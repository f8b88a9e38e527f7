"""``doctor`` as a person runs it, with a daemon and without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agentbridged.ctl.doctor.finding import Finding
from tests.admin.desk import served
from tests.ctl.shell import Shell

pytestmark = pytest.mark.realtime


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path, {"PATH": "/usr/bin:/bin"})


def by_id(printed: Any) -> dict[str, Any]:
    return {row["id"]: row for row in printed["findings"]}


async def test_without_a_daemon_it_says_so_with_the_remedy_and_exits_with_1(shell: Shell) -> None:
    done = await shell.ctl("doctor")
    assert done.code == 1
    assert "FAIL daemon: it does not run\n       → start it" in done.out
    assert done.err == ""


async def test_each_finding_is_a_row_for_programs(shell: Shell) -> None:
    import json

    done = await shell.ctl("doctor", "--json")
    printed = json.loads(done.out)
    assert (done.code, printed["ok"]) == (1, False)
    assert by_id(printed)["daemon"]["state"] == "fail"
    for row in printed["findings"]:
        assert row.keys() == set(Finding.__struct_fields__)
        assert row["state"] in ("ok", "warn", "fail", "skipped")
        assert bool(row["remedy"]) == (row["state"] in ("warn", "fail")), row


async def test_a_daemon_that_runs_is_asked(shell: Shell) -> None:
    import json

    async with served(shell.runtime):
        done = await shell.ctl("doctor", "--json", "--live")
    found = by_id(json.loads(done.out))
    assert found["daemon"]["state"] in ("ok", "warn")
    assert found["live.daemon"]["state"] == "ok"
    assert found["live.codex"]["state"] == "fail"
    assert found["environment"]["state"] == "skipped"
