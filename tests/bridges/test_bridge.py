"""A bridge with a real store, a session that a test holds, and no Codex."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from agentbridged.bridges import words
from agentbridged.bridges.bridge import DIGEST_AFTER, Bridge
from agentbridged.claude.session import Session
from agentbridged.config import Governor, Settings
from agentbridged.errors import Refused
from agentbridged.machines.relay_policy import Relayed, Route
from agentbridged.machines.switch import Verb
from agentbridged.store import Store
from agentbridged.wire import claude


class Seat:
    """What a seated session was given."""

    def __init__(self, *, full: bool = False) -> None:
        self.session_id, self.claude_pid, self.since = "s1", 42, 0.0
        self.key = "42/s1"
        self.messages: list[claude.Message] = []
        self.notices: list[claude.Notice] = []
        self.full = full
        self.ways: claude.Ways | None = None

    def push(self, message: claude.Message) -> bool:
        if not self.full:
            self.messages.append(message)
        return not self.full

    def notice(self, notice: claude.Notice) -> bool:
        self.notices.append(notice)
        return True

    @property
    def texts(self) -> list[str]:
        return [message.text for message in self.messages]


class World:
    def __init__(self, directory: Path) -> None:
        self.store = Store(directory / "db")
        self.store.ensure_bridge("p-1", "/p")
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.settings = Settings()
        self.bridge = self.open()

    def open(self) -> Bridge:
        row = self.store.bridge("p-1")
        assert row is not None
        return Bridge(row, self.store, lambda: self.settings, self._event)

    def _event(self, kind: str, facts: dict[str, Any]) -> None:
        self.events.append((kind, facts))

    async def seat(self, *, full: bool = False) -> Seat:
        seat = Seat(full=full)
        self.bridge.seated(cast(Session, seat))
        await asyncio.sleep(0)  # what waits follows the answer, in the next round of the loop
        return seat

    def codex_says(self, text: str, *, route: Route = Route.PUSH, item: str = "") -> None:
        said = Relayed(item or text, "turn", text, route, in_reply_to=None)
        self.bridge.codex.owner.relayed("thread", [said])


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.store.close()


def session(seat: Seat) -> Session:
    return cast(Session, seat)


async def test_what_codex_says_is_pushed_to_the_seat(world: World) -> None:
    seat = await world.seat()
    world.codex_says("done")
    assert seat.texts == ["done"]


async def test_what_was_said_before_any_claude_came_is_history(world: World) -> None:
    world.codex_says("alone")
    seat = await world.seat()
    assert seat.texts == []
    assert [m.state for m in world.store.history("p-1")] == ["history"]


async def test_what_was_said_while_claude_was_away_waits_in_order(world: World) -> None:
    first = await world.seat()
    world.bridge.unseated(session(first), "left")
    world.codex_says("one")
    world.codex_says("two")
    second = await world.seat()
    assert second.texts == ["one", "two"]


async def test_what_is_said_as_a_session_is_seated_comes_after_what_waits(world: World) -> None:
    first = await world.seat()
    world.bridge.unseated(session(first), "left")
    world.codex_says("one")
    second = Seat()
    world.bridge.seated(session(second))
    world.codex_says("two")
    assert second.texts == []
    await asyncio.sleep(0)
    assert second.texts == ["one", "two"]


async def test_an_item_said_twice_is_pushed_once(world: World) -> None:
    seat = await world.seat()
    world.codex_says("done", item="i")
    world.codex_says("done", item="i")
    assert seat.texts == ["done"]


async def test_what_was_handed_over_without_proof_goes_to_the_next_session_and_says_so(
    world: World,
) -> None:
    first = await world.seat()
    world.codex_says("done")
    (id,) = [m.id for m in first.messages]
    world.bridge.delivered(session(first), claude.Delivered(ids=[id], step="inbox"))
    world.bridge.unseated(session(first), "died")
    second = await world.seat()
    assert [(m.id, m.written_to) for m in second.messages] == [(id, "42/s1")]


async def test_a_second_hand_over_is_remembered_so_that_its_session_is_not_given_it_again(
    world: World,
) -> None:
    first = await world.seat()
    world.codex_says("done")
    delivered = claude.Delivered(ids=[m.id for m in first.messages], step="inbox")
    world.bridge.delivered(session(first), delivered)
    world.bridge.unseated(session(first), "died")
    second = await world.seat()
    second.key = "43/s2"
    world.bridge.delivered(session(second), delivered)
    world.bridge.unseated(session(second), "the daemon restarts")
    third = await world.seat()
    assert [m.written_to for m in third.messages] == ["43/s2"]


async def test_what_is_proven_read_is_never_pushed_again(world: World) -> None:
    first = await world.seat()
    world.codex_says("done")
    ids = [m.id for m in first.messages]
    world.bridge.delivered(session(first), claude.Delivered(ids=ids, step="inbox"))
    world.bridge.consumed(session(first), claude.Consumed(ids=ids, proof="transcript"))
    world.bridge.unseated(session(first), "left")
    assert (await world.seat()).texts == []


async def test_of_a_long_session_no_more_is_remembered_than_what_it_has_not_read(
    world: World,
) -> None:
    world.settings = Settings(governor=Governor(enabled=False))
    seat = await world.seat()
    for number in range(50):
        world.codex_says(f"{number}", item=f"{number}")
        ids = [seat.messages[-1].id]
        world.bridge.delivered(session(seat), claude.Delivered(ids=ids, step="inbox"))
        world.bridge.consumed(session(seat), claude.Consumed(ids=ids, proof="transcript"))
    world.codex_says("unread", item="unread")
    assert world.bridge._pushed == {seat.messages[-1].id}
    world.bridge.deliver()
    assert len(seat.texts) == 51


async def test_a_session_that_takes_no_more_gets_the_rest_when_it_is_back(world: World) -> None:
    full = await world.seat(full=True)
    world.codex_says("done")
    world.bridge.unseated(session(full), "too far behind")
    assert (await world.seat()).texts == ["done"]


async def test_progress_is_gathered_until_there_is_enough_of_it(world: World) -> None:
    seat = await world.seat()
    for text in ("a", "b"):
        world.codex_says(text, route=Route.DIGEST)
    assert seat.texts == []
    world.codex_says("c", route=Route.DIGEST)
    assert seat.texts == ["a", "b", "c"]


async def test_progress_waits_no_longer_than_it_should(world: World) -> None:
    seat = await world.seat()
    world.codex_says("a", route=Route.DIGEST)
    await asyncio.sleep(DIGEST_AFTER - 0.1)
    assert seat.texts == []
    await asyncio.sleep(0.2)
    assert seat.texts == ["a"]


async def test_an_answer_brings_the_progress_before_it_along(world: World) -> None:
    seat = await world.seat()
    world.codex_says("a", route=Route.DIGEST)
    world.codex_says("done")
    assert seat.texts == ["a", "done"]


async def test_a_message_for_codex_is_on_disk_when_it_is_acknowledged(world: World) -> None:
    seat = await world.seat()
    sent = await world.bridge.send(session(seat), claude.Send(text="hello"))
    kept = world.store.message(sent.id)
    assert kept is not None
    assert (kept.text, kept.state, kept.sender) == ("hello", "accepted", "claude")
    assert not sent.duplicate


async def test_the_same_key_is_the_same_message(world: World) -> None:
    seat = await world.seat()
    send = claude.Send(text="hello", idempotency_key="k")
    first = await world.bridge.send(session(seat), send)
    second = await world.bridge.send(session(seat), send)
    assert (second.id, second.duplicate) == (first.id, True)
    assert len(world.bridge.codex.delivery) == 1


async def test_what_was_accepted_before_a_restart_is_still_to_be_delivered(world: World) -> None:
    await world.bridge.send(None, claude.Send(text="hello"))
    assert len(world.open().codex.delivery) == 1


@pytest.mark.parametrize(
    ("verb", "state", "way"), [("kill", "killed", "revive"), ("pause", "paused", "resume")]
)
async def test_a_bridge_that_is_switched_off_refuses_and_says_how_to_go_on(
    world: World, verb: Verb, state: str, way: str
) -> None:
    world.bridge.switch(verb, by="anna", reason="")
    with pytest.raises(Refused, match=f"anna.*agentbridgectl {way}") as caught:
        await world.bridge.send(None, claude.Send(text="hello"))
    assert caught.value.kind == state
    assert world.store.history("p-1") == []


async def test_what_is_said_while_killed_is_history_for_good(world: World) -> None:
    seat = await world.seat()
    world.bridge.switch("kill", by="anna", reason="")
    world.codex_says("meanwhile")
    world.bridge.switch("revive", by="anna", reason="")
    world.codex_says("after")
    assert seat.texts == ["after"]
    (meanwhile, _) = world.store.history("p-1")
    (kept,) = world.store.attempts(meanwhile.id)
    assert (kept.step, kept.result, kept.detail) == ("kept", "history", "the bridge was killed")


async def test_what_is_said_while_paused_comes_on_resume(world: World) -> None:
    seat = await world.seat()
    world.bridge.switch("pause", by="anna", reason="")
    world.codex_says("meanwhile")
    assert seat.texts == []
    world.bridge.switch("resume", by="anna", reason="")
    assert seat.texts == ["meanwhile"]


async def test_a_killed_bridge_takes_no_session(world: World) -> None:
    assert world.bridge.refusal() is None
    world.bridge.switch("kill", by="anna", reason="")
    assert "anna" in (world.bridge.refusal() or "")


async def test_an_app_server_that_is_given_up_is_told_at_once_to_newcomers_and_by_each_send(
    world: World,
) -> None:
    why = words.codex_given_up("exited with status 1")
    seat = await world.seat()
    world.bridge.codex_given_up(why)
    world.bridge.codex_given_up(why)
    assert [notice.text for notice in seat.notices] == [why]
    assert "FATAL (exited with status 1)" in why
    assert "`agentbridgectl reload` tries again" in why
    sent = world.bridge.accept(claude.Send(text="hello"), sender="claude")
    assert (sent.state, sent.note) == ("accepted", f"Kept, but it cannot be delivered now. {why}")
    assert world.bridge.status()["trouble"] == why
    later = await world.seat()
    assert [notice.text for notice in later.notices] == [why]
    world.bridge.codex_given_up("")
    assert world.bridge.status()["trouble"] == ""


async def test_what_became_of_claudes_messages_is_told_when_claude_comes(world: World) -> None:
    for kind in ("turn", "failed", "thread", "paused"):
        world.bridge.notice(kind, f"news of a {kind}")
    first = await world.seat()
    assert [notice.kind for notice in first.notices] == ["turn", "failed", "paused"]
    assert (await world.seat()).notices == []


async def test_events_never_carry_text(world: World) -> None:
    await world.seat()
    world.codex_says("a secret")
    await world.bridge.send(None, claude.Send(text="another secret"))
    assert "secret" not in str(world.events)


async def test_a_person_may_write_to_claude(world: World) -> None:
    seat = await world.seat()
    world.bridge.accept_for_claude(claude.Send(text="look here"))
    assert [(m.text, m.sender) for m in seat.messages] == [("look here", "person")]


async def test_the_status_has_the_shape_of_the_admin_api(world: World) -> None:
    await world.seat()
    status = world.bridge.status()
    assert {"id", "root", "state", "claude", "codex", "to_codex", "to_claude"} <= set(status)
    assert status["claude"] == {
        "session_id": "s1",
        "pid": 42,
        "since": "1970-01-01T00:00:00.000Z",
        "version": None,
        "ways": [],
    }
    assert status["codex"] is None
    assert status["oldest_undelivered_s"] is None


async def test_nothing_to_interrupt_is_refused(world: World) -> None:
    with pytest.raises(Refused, match="no turn"):
        await world.bridge.interrupt(None)


@pytest.mark.parametrize("verb", ["pause", "resume"])
async def test_a_killed_bridge_is_made_active_by_nothing_but_a_revive(
    world: World, verb: Verb
) -> None:
    world.bridge.switch("kill", by="anna", reason="")
    with pytest.raises(Refused, match="agentbridgectl revive"):
        world.bridge.admits(verb)
    assert not world.bridge.switch(verb, by="anna", reason="")
    assert world.bridge.row.state == "killed"


@pytest.mark.parametrize("verb", ["kill", "pause"])
async def test_what_was_accepted_is_held_while_the_bridge_is_off(world: World, verb: Verb) -> None:
    await world.bridge.send(None, claude.Send(text="hello"))
    assert world.bridge.codex.owner.delivering()
    world.bridge.switch(verb, by="anna", reason="")
    assert not world.bridge.codex.owner.delivering()
