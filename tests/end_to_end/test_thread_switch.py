"""A person moves to another thread in the TUI: the bridge moves along, and loses nothing."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator

import psutil
import pytest

from tests.lab.codex import stored_threads
from tests.lab.tui import ClaudeTui, CodexTui
from tests.lab.waiting import until
from tests.lab.world import World

pytestmark = pytest.mark.requirement("C5")

ROW = re.compile(r"^.{,6}\b(?:now|\d+\w ago)\b", re.MULTILINE)
"""A session in the picker begins with its age."""


@pytest.fixture(autouse=True)
def only_the_first_tui_stays(world: World, codex: CodexTui) -> Iterator[None]:
    """Close what a failed test left open: a TUI behind the proxy decides for all that follow."""
    yield
    for tui in [t for t in world.terminals if isinstance(t, CodexTui) and t is not codex]:
        tui.close()


def thread(world: World) -> str:
    """Return the thread that the bridge is on."""
    return str((world.bridge()["codex"] or {}).get("thread_id", ""))


def threads_before(world: World) -> set[str]:
    """Return every thread there is, that of the first TUI included: it may have no file yet."""
    first = until(lambda: thread(world), "the first TUI's thread", explain=world.report)
    return {first, *stored_threads(world.codex_home)}


def wait_for_another(world: World, *before: str) -> str:
    """Wait until the bridge is on a thread that is none of these."""

    def another() -> str:
        now = thread(world)
        return "" if now in before else now

    return until(another, "the bridge is on another thread", explain=world.report)


def notices(world: World, claude: ClaudeTui, thread_id: str) -> int:
    """Return how often Claude was told that Codex is on this thread now."""
    said = world.messages.last_conversation(claude.session)
    told = re.findall(r'<bridge-notice kind="thread">[^<]*', said)
    return len([notice for notice in told if thread_id in notice])


def ask(world: World, claude: ClaudeTui, codex: CodexTui, word: str) -> None:
    """Have Claude ask Codex, and wait for the answer at both ends."""
    claude.call("send_to_codex", text=f"{word}?\n%final {word}")
    world.messages.wait_for_text(f">{word}", explain=world.report)
    codex.terminal.wait_for(f"• {word}")
    claude.wait_idle()


def pick_the_second(codex: CodexTui) -> None:
    """Choose the second row of the picker that is open."""
    codex.terminal.wait_for("Resume a previous session")
    until(
        lambda: len(ROW.findall(codex.terminal.screen())) >= 2,
        "the picker's rows",
        explain=codex.terminal.screen,
    )
    codex.terminal.key("Down", "Enter")


@pytest.mark.parametrize("by_proxy", [True, False], ids=["proxy", "plain"])
def test_the_bridge_follows_new_and_fork_and_claude_is_told_once(
    world: World, claude: ClaudeTui, by_proxy: bool
) -> None:
    before = threads_before(world)
    codex = world.codex_tui(wrapper=by_proxy)
    first = wait_for_another(world, *before)
    ask(world, claude, codex, f"FIRST-{by_proxy}")
    codex.say("/new")
    second = wait_for_another(world, *before, first)
    ask(world, claude, codex, f"SECOND-{by_proxy}")
    codex.say("/fork")
    third = wait_for_another(world, *before, first, second)
    ask(world, claude, codex, f"THIRD-{by_proxy}")
    threads = (first, second, third)
    until(
        lambda: all(notices(world, claude, each) for each in threads),
        "Claude was told of each",
        explain=lambda: f"{[notices(world, claude, each) for each in threads]}\n{world.report()}",
    )
    for each in threads:
        assert notices(world, claude, each) == 1, world.messages.last_conversation(claude.session)
    codex.close()


def test_behind_the_proxy_a_resume_of_an_older_thread_is_followed(
    world: World, claude: ClaudeTui
) -> None:
    before = threads_before(world)
    codex = world.codex_tui(wrapper=True)
    first = wait_for_another(world, *before)
    ask(world, claude, codex, "OLDER")
    codex.say("/new")
    second = wait_for_another(world, *before, first)
    ask(world, claude, codex, "NEWER")
    codex.say("/resume")
    pick_the_second(codex)
    third = wait_for_another(world, second)
    ask(world, claude, codex, "RESUMED")
    assert world.bridge()["codex"]["tui"]
    other = world.codex_tui("resume", second, wrapper=True)
    until(lambda: thread(world) == second, "the latest switch wins", explain=world.report)
    other.close()
    until(lambda: thread(world) == third, "the thread still shown", explain=world.report)
    codex.close()


@pytest.mark.parametrize("by_proxy", [True, False], ids=["proxy", "plain"])
def test_an_answer_that_was_under_way_when_the_person_left_the_thread_still_comes(
    world: World, claude: ClaudeTui, by_proxy: bool
) -> None:
    before = threads_before(world)
    codex = world.codex_tui(wrapper=by_proxy)
    first = wait_for_another(world, *before)
    word = f"LEFT-{by_proxy}"
    claude.call("send_to_codex", text=f"{word}?\n%hold {word} {word} one two three END-{word}")
    world.responses.wait_until_held(word)
    other = world.codex_tui(wrapper=by_proxy)
    second = wait_for_another(world, *before, first)
    ask(world, claude, other, f"MEANWHILE-{by_proxy}")
    world.responses.release(word)
    world.messages.wait_for_text(f">{word} one two three END-{word}", explain=world.report)
    world.wait_for_message(f"{word}?", "to_codex", state="answered")
    assert thread(world) == second
    other.close()
    codex.close()


def test_an_answer_in_a_thread_that_was_left_survives_the_daemon(
    world: World, claude: ClaudeTui
) -> None:
    before = threads_before(world)
    codex = world.codex_tui(wrapper=True)
    first = wait_for_another(world, *before)
    claude.call("send_to_codex", text="LATE?\n%hold late LATE one two three END-LATE")
    world.responses.wait_until_held("late")
    other = world.codex_tui(wrapper=True)
    second = wait_for_another(world, *before, first)
    world.stop_daemon(signal.SIGKILL)
    world.responses.release("late")
    world.start_daemon()
    world.wait_bridged(seat=claude.pid)
    said = world.messages.wait_for_text(">LATE one two three END-LATE", explain=world.report)
    assert said["said"].count(">LATE one two three END-LATE") == 1
    world.wait_for_message("LATE?", "to_codex", state="answered")
    until(lambda: thread(world) == second, "the thread that is shown", explain=world.report)
    other.close()
    codex.close()


@pytest.mark.parametrize("child", ["proxy", "app_server"])
def test_the_end_of_what_two_terminals_share_moves_no_bridge(
    world: World, claude: ClaudeTui, child: str
) -> None:
    """They come back in whatever order; the one that was turned to last decides as before."""
    before = threads_before(world)
    tuis = [world.codex_tui(wrapper=True)]
    first = wait_for_another(world, *before)
    ask(world, claude, tuis[0], f"ONE-{child}")
    tuis.append(world.codex_tui(wrapper=True))
    second = wait_for_another(world, *before, first)
    ask(world, claude, tuis[1], f"TWO-{child}")
    pid = world.status()[child]["pid"]
    psutil.Process(pid).kill()
    seen: list[bool] = []

    def steady() -> bool:
        status = world.status()
        back = status[child]["pid"] not in (None, pid) and status["proxy"]["tuis"] == len(tuis)
        seen.append(back and thread(world) == second)
        return len(seen) > 3 and all(seen[-3:])

    until(steady, "the thread that was bound", every=1.0, explain=world.report)
    ask(world, claude, tuis[1], f"THREE-{child}")
    for tui in tuis:
        tui.close()
