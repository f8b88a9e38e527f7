"""Commands that answer, fail, hang or are not there."""

import pytest

from agentbridged.errors import Refused, Unavailable
from agentbridged.service.tools import run, wait


def test_the_last_line_is_the_reason() -> None:
    done = run("sh", "-c", "echo fine; echo Warning >&2; echo 'it broke' >&2; exit 4")
    assert (done.code, done.out, done.reason) == (4, "fine\n", "it broke")
    assert run("sh", "-c", "exit 9").reason == "status 9"


def test_a_command_that_is_missing_or_hangs_is_told_in_one_line() -> None:
    with pytest.raises(Unavailable, match="cannot run no-such-tool: No such file"):
        run("no-such-tool")
    with pytest.raises(Refused, match="did not end within"):
        run("sleep", "60", patience=0.05)


def test_what_comes_in_time_is_waited_for_and_what_does_not_is_told() -> None:
    looks = iter([False, False, True])
    wait(lambda: next(looks), 60, "it does not come", every=0.001)
    assert list(looks) == []
    with pytest.raises(Unavailable, match="it does not come"):
        wait(lambda: False, 0.02, "it does not come", every=0.001)
