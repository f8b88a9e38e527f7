"""``send``, ``history``, ``search`` and ``explain`` as a person runs them."""

import pytest

from tests.admin.desk import served
from tests.ctl.shell import Shell

pytestmark = pytest.mark.realtime


async def test_a_word_is_sent_from_the_arguments_or_the_standard_input(shell: Shell) -> None:
    async with served(shell.runtime) as desk:
        done = await shell.ctl("send", "hello", "there", "--when-busy", "steer", "--start-thread")
        assert done.code == 0
        assert done.out.endswith(" waits\n")
        row = desk.store.message(done.out.split()[0])
        assert row is not None
        assert (row.text, row.direction, row.when_busy, row.start_thread) == (
            *("hello there", "to_codex", "steer", True),
        )
        sent = await shell.ctl("send", "-", "--to", "claude", "--json", given="ünï\n".encode())
        row = desk.store.message(sent.json["id"])
        assert row is not None
        assert (row.text, row.direction) == ("ünï\n", "to_claude")


async def test_the_same_key_sends_once(shell: Shell) -> None:
    async with served(shell.runtime):
        first = (await shell.ctl("send", "x", "--key", "k", "--json")).json
        again = (await shell.ctl("send", "x", "--key", "k", "--json")).json
        assert (first["id"], first["duplicate"], again["duplicate"]) == (again["id"], False, True)


async def test_what_cannot_cross_is_refused_before_it_is_sent(shell: Shell) -> None:
    async with served(shell.runtime) as desk:
        for given, word in ((b"\xff\xfe", "UTF-8"), (b"x" * 1_000_001, "1000001"), (b"", "empty")):
            done = await shell.ctl("send", "-", given=given)
            assert done.code == 2
            assert word in done.err
        assert desk.store.bridges() == []


async def test_a_killed_bridge_refuses_and_says_the_way_out(shell: Shell) -> None:
    async with served(shell.runtime) as desk:
        desk.ensure_bridge(str(shell.project))
        await shell.ctl("kill")
        done = await shell.ctl("send", "x")
        assert (done.code, done.out) == (1, "")
        assert "killed" in done.err
        assert "revive" in done.err


async def test_history_and_search_show_this_project_or_all(shell: Shell) -> None:
    async with served(shell.runtime) as desk:
        id = desk.ensure_bridge(str(shell.project))
        other = desk.ensure_bridge(str(shell.home))
        assert (await shell.ctl("history")).out == "no messages yet\n"
        await shell.ctl("send", "needle one")
        await shell.ctl("send", "needle two", "--bridge", other)
        assert [m["text"] for m in (await shell.ctl("history", "--json")).json["messages"]] == [
            "needle one"
        ]
        out = (await shell.ctl("history", "--all")).out.splitlines()
        assert [line.strip() for line in out[1::2]] == ["needle one", "needle two"]
        assert "needle one" not in (await shell.ctl("history", "--all", "-n", "1")).out
        rows = (await shell.ctl("search", "--all", "needle", "--json")).json["messages"]
        assert [row["bridge"] for row in rows] == [id, other]
        rows = (await shell.ctl("search", "two", "needle", "--bridge", other, "--json")).json
        assert [row["from"] for row in rows["messages"]] == ["person"]
        assert (await shell.ctl("search", "two")).out == "nothing found\n"


async def test_history_of_a_directory_without_a_bridge_is_refused(shell: Shell) -> None:
    async with served(shell.runtime):
        assert (await shell.ctl("history")).code == 1


async def test_a_message_is_explained(shell: Shell) -> None:
    async with served(shell.runtime) as desk:
        sent = (await shell.ctl("send", "hello", "--json")).json
        desk.store.advance([sent["id"]], "written", step="queue")
        out = (await shell.ctl("explain", sent["id"])).out
        assert "hello" in out
        assert "Codex's queue took it" in out
        answer = (await shell.ctl("explain", sent["id"], "--json")).json
        assert answer["message"]["id"] == sent["id"]
        assert [a["step"] for a in answer["attempts"]] == ["queue"]
        done = await shell.ctl("explain", "ab-none")
        assert done.code == 1
        assert "no message 'ab-none'" in done.err
