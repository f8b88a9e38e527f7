"""Approvals with the real Codex: who is shown them, whose answer counts, what is told."""

from __future__ import annotations

import json
import re
import signal

import psutil
import pytest

from tests.lab.approving import OVERLAY, accept, ask, decline
from tests.lab.tui import ClaudeTui
from tests.lab.waiting import until
from tests.lab.world import World


@pytest.fixture(autouse=True)
def bridged(claude: ClaudeTui) -> None:
    """Every test of this module has Claude at the other side."""


@pytest.mark.requirement("A1")
@pytest.mark.parametrize("again_by_proxy", [False, True], ids=["plain", "proxy"])
@pytest.mark.parametrize("by_proxy", [False, True], ids=["plain", "proxy"])
@pytest.mark.parametrize("how", ["killed", "closed"])
def test_the_next_tui_on_the_thread_is_asked_what_the_last_one_left_open(
    world: World, how: str, by_proxy: bool, again_by_proxy: bool
) -> None:
    first = world.codex_tui(wrapper=by_proxy)
    asked = ask(world, first)
    if how == "killed":
        first.terminal.kill()
    first.close()
    second = world.codex_tui("resume", asked.thread_id, wrapper=again_by_proxy)
    asked.wait_shown_by(second)
    assert asked.row["state"] == "pending"
    accept(second)
    asked.wait_ended()
    row = asked.wait_for("resolved")
    assert (row["answered_by"], row["answered_at"] is None) == ("Codex", False)
    second.close()


@pytest.mark.requirement("A1")
@pytest.mark.parametrize("by_proxy", [False, True], ids=["plain", "proxy"])
def test_a_tui_that_comes_before_the_old_socket_closed_is_asked_too(
    world: World, by_proxy: bool
) -> None:
    old = world.codex_tui(wrapper=by_proxy)
    asked = ask(world, old)
    psutil.Process(old.pid).send_signal(signal.SIGSTOP)
    new = world.codex_tui("resume", asked.thread_id, wrapper=by_proxy)
    asked.wait_shown_by(new)
    old.terminal.kill()
    accept(new)
    asked.wait_ended()
    asked.wait_for("resolved")
    old.close()
    new.close()


@pytest.mark.requirement("A1")
def test_a_tui_whose_connection_was_cut_is_asked_again(world: World) -> None:
    codex = world.codex_tui(wrapper=True)
    asked = ask(world, codex)
    proxy = world.status()["proxy"]
    psutil.Process(proxy["pid"]).kill()
    until(
        lambda: (
            world.status()["proxy"]["generation"] > proxy["generation"]
            and world.status()["proxy"]["tuis"] == 1
        ),
        "the TUI is back behind the next proxy",
        explain=world.report,
    )
    asked.wait_shown_by(codex)
    accept(codex)
    asked.wait_ended()
    asked.wait_for("resolved")
    codex.close()


@pytest.mark.requirement("A2")
@pytest.mark.parametrize("by_proxy", [False, True], ids=["plain", "proxy"])
def test_another_thread_never_shows_it(world: World, by_proxy: bool) -> None:
    first = world.codex_tui(wrapper=by_proxy)
    asked = ask(world, first)
    other = world.codex_tui(wrapper=by_proxy)
    other.say("%final UNTOUCHED")
    other.terminal.wait_for("• UNTOUCHED")
    assert OVERLAY not in other.terminal.history()
    first.close()
    other.say("%final UNTOUCHED-STILL")
    other.terminal.wait_for("• UNTOUCHED-STILL")
    assert OVERLAY not in other.terminal.history()
    again = world.codex_tui("resume", asked.thread_id, wrapper=by_proxy)
    asked.wait_shown_by(again)
    accept(again)
    asked.wait_ended()
    asked.wait_for("resolved")
    assert OVERLAY not in other.terminal.history()
    again.close()
    other.close()


@pytest.mark.requirement("A8")
def test_the_desks_answer_runs_it_once_and_takes_it_off_the_screen(world: World) -> None:
    codex = world.codex_tui()
    asked = ask(world, codex)
    answered = world.data("approvals", "allow", asked.id)
    assert answered["answer"] == {"decision": "accept"}
    asked.wait_gone_from(codex)
    asked.wait_ended()
    row = asked.wait_for("resolved")
    assert row["answered_by"].startswith("uid ") or row["answered_by"], row
    assert row["answered_at"] is not None
    late = world.ctl("approvals", "deny", asked.id)
    assert (late.returncode, late.stdout) == (1, "")
    assert f"answered by {row['answered_by']} already" in late.stderr
    codex.close()


@pytest.mark.requirement("A8")
def test_an_answer_in_the_tui_comes_first_and_the_desks_is_refused(world: World) -> None:
    codex = world.codex_tui()
    asked = ask(world, codex)
    accept(codex)
    asked.wait_ended()
    row = asked.wait_for("resolved")
    assert row["answered_by"] == "Codex"
    late = world.ctl("approvals", "deny", asked.id)
    assert late.returncode == 1
    assert "answered in Codex already" in late.stderr
    assert asked.runs == 1
    codex.close()


@pytest.mark.requirement("A8")
@pytest.mark.parametrize("where", ["desk", "codex"])
def test_what_a_person_refuses_does_not_run(world: World, where: str) -> None:
    codex = world.codex_tui()
    asked = ask(world, codex)
    if where == "desk":
        assert world.data("approvals", "deny", asked.id)["answer"] == {"decision": "decline"}
    else:
        decline(codex)
    asked.wait_gone_from(codex)
    asked.wait_for("resolved")
    until(lambda: world.bridge()["codex"]["status"] == "idle", "idle", explain=world.report)
    assert asked.runs == 0
    codex.close()


@pytest.mark.requirement("A7")
def test_claude_is_told_once_for_what_and_since_when(world: World, claude: ClaudeTui) -> None:
    codex = world.codex_tui()
    asked = ask(world, codex)
    told = world.messages.wait_for_text(asked.name, explain=world.report)
    assert "Only a person can answer that" in str(told["said"])
    waiting = world.bridge()["codex"]
    assert (waiting["waiting_on"], waiting["waiting_since"] is None) == ("approval", False)
    claude.call("bridge_status")
    world.messages.wait_for_text(waiting["waiting_since"], explain=world.report)
    claude.wait_idle()
    codex.close()
    again = world.codex_tui("resume", asked.thread_id)
    asked.wait_shown_by(again)
    accept(again)
    asked.wait_ended()
    asked.wait_for("resolved")
    claude.wait_idle()
    said = world.messages.last_conversation(claude.session)
    notices = re.findall(r'<bridge-notice kind="approval">[^<]*', said)
    assert len([notice for notice in notices if asked.name in notice]) == 1, said
    again.close()


@pytest.mark.requirement("A7")
def test_no_message_and_no_tool_of_claudes_answers_it(world: World, claude: ClaudeTui) -> None:
    codex = world.codex_tui()
    asked = ask(world, codex)
    claude.call("send_to_codex", text=f"y\n%final AFTER-{asked.name}")
    world.wait_for_message(f"AFTER-{asked.name}", "to_codex", state="written")
    assert asked.row["state"] == "pending"
    assert asked.runs == 0
    asked.wait_shown_by(codex)
    accept(codex)
    asked.wait_ended()
    world.messages.wait_for_text(f">AFTER-{asked.name}", explain=world.report)
    codex.close()


@pytest.mark.requirement("A7")
def test_neither_agents_own_shell_can_answer_it(world: World, claude: ClaudeTui) -> None:
    codex = world.codex_tui()
    asked = ask(world, codex)
    ctl = f"agentbridgectl approvals allow {asked.id}"
    claude.wait_idle()
    call = json.dumps({"command": f"{ctl} 2>&1", "description": "answer it"})
    claude.say(f"x !tool Bash {call} ;; !say tried")
    world.messages.wait_for_text("only a person can answer", explain=world.report)
    assert asked.row["state"] == "pending"
    other = world.codex_tui()
    other.say(f"%shell {ctl} 2>&1")
    world.responses.wait_for(
        lambda request: any("agentbridgectl:" in out for out in request["outputs"]),
        "Codex's shell was answered",
        explain=world.report,
    )
    assert asked.row["state"] == "pending"
    assert asked.runs == 0
    accept(codex)
    asked.wait_ended()
    other.close()
    codex.close()
