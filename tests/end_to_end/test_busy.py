"""A person or Claude disturbs a busy Codex on purpose."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from agentbridged.wire.claude import WhenBusy
from tests.lab.tui import ClaudeTui, CodexTui
from tests.lab.waiting import until
from tests.lab.world import World


def wait_active(world: World) -> None:
    until(
        lambda: world.bridge()["codex"]["status"] == "active",
        "the bridge knows that Codex is busy",
        explain=world.report,
    )


@pytest.mark.requirement("T2")
def test_an_interrupting_message_ends_the_turn_and_is_answered(
    world: World, codex: CodexTui, claude: ClaudeTui
) -> None:
    codex.say("%hold first FIRST one two three four five")
    world.responses.wait_until_held("first")
    wait_active(world)
    claude.call("send_to_codex", text="NOW\n%final NOW-ANSWER", when_busy="interrupt")
    world.messages.wait_for_text(">NOW-ANSWER", explain=world.report)
    assert len(world.responses.prompts("NOW\n")) == 1
    world.responses.release("first")


@pytest.mark.requirement("T2")
def test_a_steering_message_joins_the_running_turn(
    world: World, codex: CodexTui, claude: ClaudeTui
) -> None:
    codex.say("%hold second SECOND one two three four five")
    world.responses.wait_until_held("second")
    wait_active(world)
    claude.call("send_to_codex", text="STEER\n%final STEER-ANSWER", when_busy="steer")
    world.messages.wait_for_text(">STEER-ANSWER", explain=world.report)
    assert len(world.responses.prompts("STEER\n")) == 1
    world.responses.release("second")


@pytest.mark.requirement("T1")
def test_interrupt_codex_stops_the_turn(world: World, codex: CodexTui, claude: ClaudeTui) -> None:
    codex.say("%hold third THIRD one two three four five")
    world.responses.wait_until_held("third")
    wait_active(world)
    claude.call("interrupt_codex")
    until(
        lambda: world.bridge()["codex"]["status"] == "idle",
        "Codex is idle again",
        explain=world.report,
    )
    world.responses.release("third")
    claude.call("send_to_codex", text="GO-ON\n%final GO-ON-ANSWER")
    world.messages.wait_for_text(">GO-ON-ANSWER", explain=world.report)


def test_interrupting_an_idle_codex_is_refused_in_words(
    world: World, codex: CodexTui, claude: ClaudeTui
) -> None:
    claude.wait_idle()
    count = len(world.messages.requests())
    claude.call("interrupt_codex")
    told = world.messages.wait_for(
        lambda r: r["n"] > count and "called interrupt_codex" in r["step"],
        "Claude was told what came of it",
        explain=world.report,
    )
    assert "no turn" in told["said"].lower()


@pytest.mark.requirement("T2")
@pytest.mark.parametrize("mode", ["queue", "steer", "interrupt"])
def test_one_key_sent_twice_at_once_reaches_a_busy_codex_once(
    world: World, codex: CodexTui, claude: ClaudeTui, mode: WhenBusy
) -> None:
    claude.wait_idle()
    codex.say(f"%hold {mode} BUSY-{mode} one two three four five")
    world.responses.wait_until_held(mode)
    wait_active(world)

    def send(_: int) -> str:
        sent = world.rpc(
            "message.send",
            project_dir=str(world.project),
            text=f"KEYED-{mode}\n%final ANSWERED-{mode}",
            when_busy=mode,
            idempotency_key=f"key-{mode}",
        )
        return str(sent["id"])

    with ThreadPoolExecutor(2) as both:
        assert len(set(both.map(send, range(2)))) == 1
    if mode == "queue":
        world.wait_for_message(f"KEYED-{mode}", "to_codex", state="written")
        world.responses.release(mode)
    world.wait_for_message(f"KEYED-{mode}", "to_codex", state="answered")
    world.responses.release(mode)
    world.messages.wait_for_text(f">ANSWERED-{mode}", explain=world.report)
    assert len(world.responses.prompts(f"KEYED-{mode}\n")) == 1
