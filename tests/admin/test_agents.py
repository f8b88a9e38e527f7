import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from agentbridged.admin.agents import MARKS, behind


@contextmanager
def process(**marks: str) -> Iterator[int]:
    """A process that waits, with these variables."""
    environment = {name: value for name, value in os.environ.items() if name not in MARKS}
    with subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); import sys; sys.stdin.read()"],
        env=environment | marks,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as running:
        assert running.stdout is not None
        running.stdout.readline()
        yield running.pid


def test_a_person_is_no_agent() -> None:
    with process() as pid:
        assert behind(pid) == ""
        assert behind(pid, [1_000_000]) == ""
    assert behind(None) == ""


@pytest.mark.requirement("A7")
@pytest.mark.parametrize(
    ("mark", "agent"), [("CLAUDECODE", "Claude Code"), ("CODEX_THREAD_ID", "Codex")]
)
def test_what_an_agent_started_is_known_by_its_environment(mark: str, agent: str) -> None:
    with process(**{mark: "1"}) as pid:
        assert behind(pid) == agent


@pytest.mark.requirement("A7")
def test_what_descends_from_an_agents_process_is_its_own() -> None:
    with process() as pid:
        assert behind(pid, [psutil.Process().pid]) == "an agent"


@pytest.mark.requirement("A7")
def test_a_process_that_is_gone_is_no_person() -> None:
    with process() as pid:
        pass
    assert behind(pid) == "a process that is gone"
