"""A bridge under the governor: what is counted, who is told, and what starts the count anew."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from agentbridged.bridges.governing import Governing
from agentbridged.config import Governor, Settings
from agentbridged.errors import Refused
from agentbridged.machines import governor
from agentbridged.store import Store
from agentbridged.wire import claude
from tests.bridges.test_bridge import Seat, World, session

PONG = "sent again, without a person"


class Governed(World):
    """A bridge that stops after four messages."""

    def limit(self, **limits: object) -> None:
        self.settings = msgspec.structs.replace(
            self.settings, governor=msgspec.convert({"max_hops": 4, **limits}, Governor)
        )

    async def claude_says(self, text: str, *, person_at: float | None = None) -> claude.Sent:
        return await self.bridge.send(None, claude.Send(text=text, person_at=person_at))

    async def ping_pong(self, messages: int) -> None:
        for number in range(len(self.texts), len(self.texts) + messages):
            if number % 2:
                self.codex_says(f"{PONG} {number}")
            else:
                await self.claude_says(f"{PONG} {number}")

    @property
    def state(self) -> str:
        return self.bridge.row.state

    @property
    def texts(self) -> list[str]:
        return [message.text for message in self.store.history("p-1", limit=1000)]


def told(seat: Seat) -> list[str]:
    return [notice.text for notice in seat.notices if notice.kind == "paused"]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Governed]:
    world = Governed(tmp_path)
    world.limit()
    world.store.mark_attached("p-1")
    yield world
    world.store.close()


async def test_the_message_of_claude_that_is_one_too_many_is_refused_and_not_kept(
    world: Governed,
) -> None:
    seat = await world.seat()
    await world.ping_pong(4)
    assert world.state == "active"
    with pytest.raises(Refused, match=r"4 messages in a row.*agentbridgectl resume") as caught:
        await world.claude_says("the fifth")
    assert caught.value.kind == "paused"
    assert (world.state, world.bridge.row.changed_by) == ("paused", governor.BY)
    assert len(world.texts) == 4
    assert len(told(seat)) == 1
    assert "4 messages in a row without a person's word" in told(seat)[0]
    assert "Nothing was sent" not in told(seat)[0]


async def test_the_answer_of_codex_that_is_one_too_many_is_kept_and_comes_on_resume(
    world: Governed,
) -> None:
    seat = await world.seat()
    await world.ping_pong(4)
    world.codex_says("the fifth")
    assert world.state == "paused"
    before = [f"{PONG} 1", f"{PONG} 3"]
    assert seat.texts == before
    world.bridge.switch("resume", by="anna", reason="")
    assert seat.texts == [*before, "the fifth"]
    assert len(told(seat)) == 1


async def test_everything_after_the_first_is_refused_and_nobody_is_told_again(
    world: Governed,
) -> None:
    seat = await world.seat()
    await world.ping_pong(4)
    for text in ("five", "six"):
        with pytest.raises(Refused, match="governor"):
            await world.claude_says(text)
    world.codex_says("seven")
    assert len(told(seat)) == 1
    paused = [facts for kind, facts in world.events if kind == "bridge"]
    assert [(facts["state"], facts["by"]) for facts in paused] == [("paused", governor.BY)]


async def test_resume_starts_the_count_anew(world: Governed) -> None:
    await world.ping_pong(4)
    with pytest.raises(Refused):
        await world.claude_says("the fifth")
    world.bridge.switch("resume", by="anna", reason="")
    assert world.bridge.status()["hops"] == 0
    await world.ping_pong(4)
    assert world.state == "active"
    with pytest.raises(Refused):
        await world.claude_says("the ninth")


async def test_a_word_typed_in_codex_starts_the_count_anew(world: Governed) -> None:
    await world.ping_pong(4)
    world.bridge.codex.owner.person_spoke(None)
    await world.ping_pong(4)
    assert world.state == "active"


async def test_a_word_typed_in_claude_starts_the_count_anew(world: Governed) -> None:
    await world.ping_pong(4)
    spoken = world.store.history("p-1")[-1].created_at
    await world.claude_says("on the person's word", person_at=spoken)
    assert world.bridge.status()["hops"] == 1


async def test_a_word_from_the_future_hides_no_later_one(world: Governed) -> None:
    await world.claude_says("one", person_at=1e18)
    await world.claude_says("two", person_at=time.time())
    assert world.bridge.status()["hops"] == 1


async def test_of_a_word_that_is_told_late_counts_what_came_after_it(world: Governed) -> None:
    await world.ping_pong(3)
    spoken = world.store.history("p-1")[1].created_at
    await world.claude_says("told with the word", person_at=spoken)
    assert world.bridge.status()["hops"] == 2
    world.bridge = world.open()
    assert world.bridge.status()["hops"] == 2
    await world.claude_says("told again", person_at=spoken)
    await world.claude_says("and an earlier one", person_at=spoken - 1)
    assert world.bridge.status()["hops"] == 4


async def test_of_an_old_word_that_is_told_again_nothing_starts_anew(world: Governed) -> None:
    """Codex's turns are read back after each reconnection, with their prompts."""
    old = time.time() - 3600
    governing = Governing("p-1", world.store, lambda: world.settings)
    governing.spoke()
    for text in ("one", "two"):
        message, _ = world.store.add(bridge="p-1", direction="to_codex", sender="claude", text=text)
        governing.crossed(message)
    governing.spoke(old)
    assert governing.hops == 2
    restarted = Governing("p-1", world.store, lambda: world.settings)
    restarted.spoke(old)
    assert restarted.hops == 2
    restarted.spoke(message.created_at)
    assert restarted.hops == 0


@pytest.fixture
def set_back(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set the clock back by so many seconds."""
    real = time.time

    def set_back(by: float) -> None:
        monkeypatch.setattr(time, "time", lambda: real() - by)

    return set_back


@pytest.mark.parametrize("crossed_since", [True, False])
async def test_a_word_from_before_the_clock_was_set_back_hides_no_later_one(
    tmp_path: Path, set_back: Callable[[float], None], *, crossed_since: bool
) -> None:
    store = Store(tmp_path / "db", clock=lambda: time.time())
    store.ensure_bridge("p-1", "/p")
    governing = Governing("p-1", store, Settings)

    def say(text: str) -> None:
        message, _ = store.add(bridge="p-1", direction="to_codex", sender="claude", text=text)
        governing.crossed(message)

    before = time.time()
    governing.spoke_at(before)
    say("before")
    set_back(3600)
    if crossed_since:
        say("since")
    governing.spoke_at(before)  # a session tells its latest word with each message
    assert governing.hops == 1 + crossed_since
    governing.spoke_at(time.time())
    assert governing.hops == 0
    say("after")
    governing.spoke_at(before)
    assert governing.hops == 1
    store.close()


@pytest.mark.parametrize("to", ["codex", "claude"])
async def test_a_word_sent_from_a_shell_starts_the_count_anew(world: Governed, to: str) -> None:
    await world.ping_pong(4)
    send = claude.Send(text="a person's")
    if to == "codex":
        world.bridge.accept(send, sender="person")
    else:
        world.bridge.accept_for_claude(send)
    assert world.bridge.status()["hops"] == 0
    await world.ping_pong(4)
    assert world.state == "active"


async def test_what_goes_into_history_alone_is_no_hop(world: Governed) -> None:
    from agentbridged.machines.relay_policy import Route

    await world.seat()
    for number in range(20):
        world.codex_says(f"commentary {number}", route=Route.HISTORY)
    assert world.bridge.status()["hops"] == 0


async def test_a_repeated_call_is_no_hop_of_its_own(world: Governed) -> None:
    for _ in range(10):
        send = claude.Send(text="the same call", idempotency_key="k")
        await world.bridge.send(None, send)
    assert world.bridge.status()["hops"] == 1


async def test_a_restart_forgets_no_hop(world: Governed) -> None:
    world.bridge.codex.owner.person_spoke(None)
    await world.ping_pong(4)
    world.bridge = world.open()
    with pytest.raises(Refused, match="governor"):
        await world.claude_says("the fifth")
    assert world.open().row.state == "paused"


async def test_a_governor_that_is_switched_off_pauses_nothing_until_it_is_on_again(
    world: Governed,
) -> None:
    world.limit(enabled=False, max_hops=4)
    await world.ping_pong(40)
    assert world.state == "active"
    world.limit(enabled=True)
    with pytest.raises(Refused, match="40 messages"):
        await world.claude_says("one more")


async def test_a_higher_limit_holds_at_once(world: Governed) -> None:
    await world.ping_pong(4)
    world.limit(max_hops=6)
    await world.ping_pong(2)
    assert world.state == "active"


async def test_whoever_was_away_when_it_paused_is_told_on_coming_back(world: Governed) -> None:
    first = await world.seat()
    await world.ping_pong(4)
    world.bridge.unseated(session(first), "its connection ended")
    world.codex_says("the fifth")
    second = await world.seat()
    assert len(told(second)) == 1
    await world.seat()
    assert len(told(second)) == 1


async def test_a_bridge_from_before_the_governor_has_nothing_held_against_it(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path / "db")
    store.ensure_bridge("p-1", "/p")
    for number in range(50):
        store.add(bridge="p-1", direction="to_codex", sender="claude", text=f"old {number}")
    assert Governing("p-1", store, Settings).hops == 0
    store.close()
