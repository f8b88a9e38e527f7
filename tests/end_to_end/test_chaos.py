"""A relay that misbehaves before each of our doors: nothing is lost, doubled, or held up by it."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator

import pytest

from tests.lab import doors
from tests.lab.chaos import Chaos, Way
from tests.lab.chaos_world import ChaosWorld
from tests.lab.scripted import Json
from tests.lab.tui import ClaudeTui, CodexTui
from tests.lab.waiting import until


@pytest.fixture(scope="module")
def world() -> Iterator[ChaosWorld]:
    """A world with a relay before each door."""
    with ChaosWorld.at_work() as world:
        yield world


@pytest.fixture(scope="module")
def codex(world: ChaosWorld) -> CodexTui:
    """``agentbridgectl codex``, whose TUI comes through the relay and the proxy."""
    return world.codex_tui(wrapper=True)


@pytest.fixture(autouse=True)
def calm(world: ChaosWorld) -> Iterator[None]:
    """Leave no weather to the next test."""
    yield
    for relay in world.relays.values():
        relay.calm()


def crosses_once(world: ChaosWorld, claude: ClaudeTui, name: str) -> str:
    """Have Claude ask and Codex answer; returns all that Claude's model was told by then."""
    claude.call("send_to_codex", text=f"Q-{name}\n%final A-{name}")
    said = world.messages.wait_for_text(f">A-{name}\n", explain=world.report)["said"]
    assert len(world.responses.prompts(f"Q-{name}\n")) == 1
    assert said.count(f">A-{name}\n") == 1
    world.wait_for_message(f"Q-{name}\n", "to_codex", state="answered")
    return str(said)


def wait_reconnected(relay: Chaos, *before: int) -> None:
    """Wait until each of these processes is at the relay again."""
    until(lambda: set(before) <= set(relay.peers()), "they are back")


def test_an_answer_that_is_lost_before_claude_has_it_sends_nothing_twice(
    world: ChaosWorld, codex: CodexTui, claude: ClaudeTui
) -> None:
    relay = world.relays["claude"]
    relay.stall("down")
    claude.wait_idle()
    claude.call("send_to_codex", text="Q-LOST-ANSWER\n%final A-LOST-ANSWER")
    world.responses.wait_for_prompt("Q-LOST-ANSWER", explain=world.report)
    codex.say("%final HELD-BACK")
    codex.terminal.wait_for("• HELD-BACK")  # which is not held up, as little as the daemon
    assert world.status()["state"] == "running"
    assert not world.messages.with_text(">A-LOST-ANSWER\n")
    relay.cut()
    relay.calm()
    world.messages.wait_for_text("nothing was sent twice", explain=world.report)
    said = crosses_once(world, claude, "AFTER-LOST-ANSWER")
    assert len(world.responses.prompts("Q-LOST-ANSWER")) == 1
    assert said.count(">A-LOST-ANSWER\n") == said.count(">HELD-BACK\n") == 1


@pytest.mark.parametrize("way", ["up", "down"])
def test_half_a_line_to_claude_is_given_up_and_made_anew(
    world: ChaosWorld, codex: CodexTui, claude: ClaudeTui, way: Way
) -> None:
    relay = world.relays["claude"]
    claude.wait_idle()
    relay.half_close(way)
    codex.say(f"%final HALF-{way}")
    world.messages.wait_for_text(f">HALF-{way}\n", explain=world.report)
    assert crosses_once(world, claude, f"HALF-{way}").count(f">HALF-{way}\n") == 1


def test_who_says_the_same_again_at_the_seats_door_is_turned_away_unnoticed(
    world: ChaosWorld, codex: CodexTui, claude: ClaudeTui
) -> None:
    seat = world.bridge()["claude"]
    world.relays["claude"].double()
    crosses_once(world, claude, "DOUBLE")
    assert world.bridge()["claude"] == seat


def test_a_tui_finds_its_turn_again_however_its_line_breaks(
    world: ChaosWorld, codex: CodexTui, claude: ClaudeTui
) -> None:
    relay = world.relays["codex"]
    (tui,) = relay.peers()
    relay.dribble()
    codex.say("%hold broken BROKEN-OFF one two three four END-OF-IT")
    world.responses.wait_until_held("broken")
    relay.cut()
    world.responses.release("broken")
    relay.calm()
    wait_reconnected(relay, tui)
    codex.terminal.wait_for("END-OF-IT")
    whole = ">BROKEN-OFF one two three four END-OF-IT\n"
    world.messages.wait_for_text(whole, explain=world.report)
    relay.half_close("up")
    assert crosses_once(world, claude, "BESIDE-A-BROKEN-TUI").count(whole) == 1
    wait_reconnected(relay, tui)


def test_a_terminal_that_reads_nothing_holds_up_nobody_else(
    world: ChaosWorld, codex: CodexTui, claude: ClaudeTui
) -> None:
    relay = world.relays["codex"]
    relay.stall("both")
    crosses_once(world, claude, "BESIDE-A-STALL")
    relay.calm()
    codex.terminal.wait_for("A-BESIDE-A-STALL")


def test_a_message_whose_receipt_codex_could_not_give_is_there_once(
    world: ChaosWorld, codex: CodexTui, claude: ClaudeTui
) -> None:
    assert world.daemon
    relay = world.relays["app-server"]
    relay.stall("down", world.daemon.pid)
    claude.wait_idle()
    claude.call("send_to_codex", text="Q-NO-RECEIPT\n%final A-NO-RECEIPT")
    world.responses.wait_for_prompt("Q-NO-RECEIPT", explain=world.report)
    codex.terminal.wait_for("• A-NO-RECEIPT")  # others of the app-server's are not held up
    relay.cut(world.daemon.pid)
    relay.calm()
    world.messages.wait_for_text(">A-NO-RECEIPT\n", explain=world.report)
    said = crosses_once(world, claude, "AFTER-NO-RECEIPT")
    assert len(world.responses.prompts("Q-NO-RECEIPT")) == 1
    assert said.count(">A-NO-RECEIPT\n") == 1


@pytest.mark.parametrize("way", ["up", "down"])
def test_half_a_line_to_codex_is_given_up_and_made_anew(
    world: ChaosWorld, codex: CodexTui, claude: ClaudeTui, way: Way
) -> None:
    assert world.daemon
    world.relays["app-server"].half_close(way, world.daemon.pid)
    crosses_once(world, claude, f"HALF-TO-CODEX-{way}")


def test_a_bad_line_to_the_proxy_holds_up_no_terminal_and_comes_back(
    world: ChaosWorld, codex: CodexTui, claude: ClaudeTui
) -> None:
    relay = world.stand_before_the_proxy()
    world.stop_daemon(signal.SIGKILL)
    daemon = world.start_daemon()
    wait_reconnected(relay, daemon.pid)
    world.wait_bridged(seat=claude.pid)
    relay.stall("both")
    codex.say("%final PAST-THE-STALL")
    codex.terminal.wait_for("• PAST-THE-STALL")
    world.messages.wait_for_text(">PAST-THE-STALL\n", explain=world.report)
    relay.calm()
    harms: list[Callable[[], None]] = [
        relay.cut,
        lambda: relay.half_close("down"),
        lambda: relay.half_close("up"),
    ]
    for harm in harms:
        harm()
        wait_reconnected(relay, daemon.pid)
        until(lambda: world.status()["proxy"]["tuis"] == 1, "the terminal is known again")
    crosses_once(world, claude, "BESIDE-A-BAD-LINK")


def by_hand(world: ChaosWorld, text: str) -> Json:
    """Return what a person's send asks for, with a key that makes it safe to repeat."""
    return {"project_dir": str(world.project), "text": text, "idempotency_key": text}


def test_a_persons_word_whose_receipt_is_lost_is_sent_once(
    world: ChaosWorld, codex: CodexTui, claude: ClaudeTui
) -> None:
    relay = world.relays["admin"]
    params = by_hand(world, "HAND-WRITTEN\n%final A-HAND-WRITTEN")
    request = {"jsonrpc": "2.0", "id": 1, "method": "message.send", "params": params}
    with doors.knock(world.admin_socket) as waiting:
        until(lambda: len(relay.peers()) == 1, "somebody is at the door")
        relay.stall("down")
        waiting.sendall(json.dumps(request).encode() + b"\n")
        world.responses.wait_for_prompt("HAND-WRITTEN", explain=world.report)
        assert world.ctl("status").returncode == 0  # who stands in the door holds up nobody
        relay.cut()
    answer = doors.ask(world.admin_socket, "message.send", **params)
    assert answer["result"]["duplicate"]
    said = crosses_once(world, claude, "AFTER-IT")
    assert said.count(">A-HAND-WRITTEN\n") == 1
    assert len(world.responses.prompts("HAND-WRITTEN")) == 1


def test_a_byte_at_a_time_is_a_request_too(world: ChaosWorld) -> None:
    world.relays["admin"].dribble()
    assert world.ctl("status").returncode == 0


def test_all_that_is_said_in_a_storm_has_come_once_when_it_is_over(
    world: ChaosWorld, codex: CodexTui, claude: ClaudeTui
) -> None:
    claude.wait_idle()
    names = [f"STORM-{number}" for number in range(4)]
    for relay in world.relays.values():
        relay.storm(4)
    for name in names:
        claude.call("send_to_codex", text=f"Q-{name}\n%final A-{name}", idempotency_key=name)
        world.messages.wait_for_text("called send_to_codex", explain=world.report)
    for relay in world.relays.values():
        relay.calm()
    for name in names:  # one whose receipt was lost is repeated, as its sender was told to
        claude.call("send_to_codex", text=f"Q-{name}\n%final A-{name}", idempotency_key=name)
        world.messages.wait_for_text(f">A-{name}\n", explain=world.report)
    said = crosses_once(world, claude, "AFTER-THE-STORM")
    assert [said.count(f">A-{name}\n") for name in names] == [1] * len(names)
    assert [len(world.responses.prompts(f"Q-{name}\n")) for name in names] == [1] * len(names)
