"""What the tools answer, on a line that does as it is told and on the virtual clock."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agentbridged.errors import (
    AgentBridgeError,
    ConnectionLost,
    DaemonNotRunning,
    DaemonSilent,
    Refused,
)
from agentbridged.machines.recovery import Recovery
from agentbridged.mcp.channel import Channel
from agentbridged.mcp.connection import Connection
from agentbridged.mcp.delivery import Delivery
from agentbridged.mcp.inbox import Inbox
from agentbridged.mcp.session import Session
from agentbridged.mcp.tools import PATIENCE, ROOM, Tools
from agentbridged.paths import Paths
from agentbridged.wire.claude import Attached, Message, Send, Sent
from agentbridged.wire.mcp import (
    AttachSeat,
    BridgeStatus,
    InterruptCodex,
    ReadMessages,
    SendToCodex,
    WaitForMessage,
)
from tests.mcp.scripted_daemon import codex_says

SENT = Sent(id="ab-000000000001", state="accepted", duplicate=False, note="Codex is busy.")


class Scripted(Connection):
    """A connection whose seat and answers are scripted."""

    def __init__(self, home: Path) -> None:
        session = Session({"HOME": str(home)}, parent=os.getpid(), cwd=home)
        paths = Paths(runtime=home, state=home, config_file=home)
        ignore: Callable[..., None] = lambda *_: None  # noqa: E731 - four hooks nobody needs
        super().__init__(
            paths,
            session,
            Recovery(jitter=lambda: 0.0),
            on_message=ignore,
            on_notice=ignore,
            on_seated=ignore,
            on_unseated=ignore,
        )
        self.answers: list[Any] = []
        self.calls: list[tuple[str, Any]] = []
        self.attached = Attached(bridge="p-1", root="/p", codex=None, pending=0)
        self.recovery.next(now=0)
        self.recovery.seated(now=0)

    def lose(self, code: int | None, detail: str) -> None:
        """Take the seat away."""
        self.recovery.ended(code, detail, now=0)

    async def call(self, method: str, params: Any, kind: Any, *, within: float) -> Any:
        """Give the next answer, or raise it."""
        self.calls.append((method, params))
        answer = self.answers.pop(0)
        if isinstance(answer, AgentBridgeError):
            raise answer
        return answer


class Bench:
    """Tools, their scripted connection and their mailbox."""

    def __init__(self, home: Path) -> None:
        self.connection = Scripted(home)
        channel = Channel(lambda _: None, asked_for=lambda: False)
        self.delivery = Delivery(self.connection.session, Inbox({}), channel, now=0)
        self.call = Tools(self.connection, self.delivery).call

    def says(self, number: int, text: str) -> None:
        """Codex says something."""
        self.delivery.message(msgspec.convert(codex_says(number, text), Message))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_a_send_returns_the_id_and_what_is_to_be_known(bench: Bench) -> None:
    bench.connection.answers = [SENT]
    text = await bench.call(SendToCodex(text="hi", idempotency_key="k", start_thread=True))
    assert "ab-000000000001" in text
    assert "Codex is busy." in text
    wanted = Send(text="hi", when_busy="queue", idempotency_key="k", start_thread=True)
    assert bench.connection.calls == [("send", wanted)]


async def test_a_send_whose_answer_was_lost_is_repeated_under_one_key(bench: Bench) -> None:
    again = Sent(id=SENT.id, state="accepted", duplicate=True, note="")
    bench.connection.answers = [ConnectionLost("lost"), DaemonNotRunning("gone"), again]
    assert "nothing was sent twice" in await bench.call(SendToCodex(text="hi"))
    keys = {params.idempotency_key for _, params in bench.connection.calls}
    assert len(keys) == 1
    assert None not in keys


@pytest.mark.parametrize("last", [DaemonSilent("silent"), ConnectionLost("lost")])
async def test_when_it_stays_unknown_the_key_to_repeat_it_safely_is_given(
    bench: Bench, last: AgentBridgeError
) -> None:
    bench.connection.answers = [last]
    if isinstance(last, ConnectionLost):
        real = bench.connection.call

        async def lose(*args: Any, **kwargs: Any) -> Any:
            bench.connection.lose(None, "")
            return await real(*args, **kwargs)

        bench.connection.call = lose  # type: ignore[method-assign]
    with pytest.raises(ConnectionLost, match="not known") as unknown:
        await bench.call(SendToCodex(text="hi"))
    (_, params) = bench.connection.calls[0]
    assert params.idempotency_key in str(unknown.value)
    assert asyncio.get_running_loop().time() <= PATIENCE + 0.1


async def test_without_a_daemon_a_send_waits_ten_seconds_and_then_says_how_to_start_it(
    bench: Bench,
) -> None:
    bench.connection.lose(None, "")
    with pytest.raises(Refused, match=r"nothing was sent.*agentbridgectl service start"):
        await bench.call(SendToCodex(text="hi"))
    assert asyncio.get_running_loop().time() == pytest.approx(PATIENCE)
    assert bench.connection.calls == []


@pytest.mark.parametrize(
    ("code", "words"),
    [(4001, "rejected: W.*take_over"), (4002, "evicted: W"), (4003, "killed: W.*revive")],
)
async def test_without_the_seat_a_send_is_refused_at_once_with_the_daemons_words(
    bench: Bench, code: int, words: str
) -> None:
    bench.connection.lose(code, "W")
    for arguments in (SendToCodex(text="hi"), InterruptCodex(), ReadMessages()):
        with pytest.raises(Refused, match=words):
            await bench.call(arguments)
    assert asyncio.get_running_loop().time() == 0
    assert bench.connection.calls == []
    assert "W" in await bench.call(BridgeStatus())


async def test_what_has_come_can_be_read_without_a_daemon(bench: Bench) -> None:
    bench.says(1, "four")
    bench.connection.lose(None, "")
    assert ">four\n" in await bench.call(ReadMessages())
    with pytest.raises(Refused, match=r"nothing to read.*disconnected"):
        await bench.call(ReadMessages())


async def test_the_status_tells_of_codex_and_of_the_ways_to_claude(bench: Bench) -> None:
    codex = {"thread_id": "t-1", "status": "active", "waiting_on": "approval", "turn_id": None}
    bench.connection.answers = [{"id": "p-1", "state": "active", "codex": codex, "trouble": None}]
    bench.says(1, "four")
    text = await bench.call(BridgeStatus())
    for said in ("attached", "p-1 (/p)", "thread_id t-1", "waiting_on approval", "1 waiting"):
        assert said in text
    assert "inbox socket: off: Claude Code named none" in text
    assert "trouble" not in text


async def test_a_status_without_an_answer_still_tells_the_rest(bench: Bench) -> None:
    bench.connection.answers = [DaemonSilent("it is silent")]
    text = await bench.call(BridgeStatus())
    assert "it is silent" in text
    assert "ways to reach you" in text


async def test_reading_gives_each_message_once_in_order_and_within_the_limit(bench: Bench) -> None:
    for number in (3, 1, 2):
        bench.says(number, f"text {number}")
    first = await bench.call(ReadMessages(limit=2))
    assert first.index("text 1") < first.index("text 2")
    assert "1 not shown in full yet" in first
    assert "text 3" in await bench.call(ReadMessages())
    assert "No unread" in await bench.call(ReadMessages())


async def test_a_very_long_message_is_read_in_parts_without_gap_or_double(bench: Bench) -> None:
    text = "".join(f"{n:07d}" for n in range(ROOM // 3))
    bench.says(1, text)
    seen = ""
    for _ in range(3):
        part = await bench.call(ReadMessages())
        seen += part.partition(">")[2].partition("\n")[0]
    assert seen == text
    assert "No unread" in await bench.call(ReadMessages())


async def test_what_was_pushed_and_is_unproven_is_marked(bench: Bench) -> None:
    bench.says(1, "four")
    (entry,) = bench.delivery.mailbox.unconfirmed()
    bench.delivery.mailbox.pushed(entry, 4)
    assert "already handed to you" in await bench.call(ReadMessages())


async def test_a_wait_is_bounded_and_says_so(bench: Bench) -> None:
    text = await bench.call(WaitForMessage(timeout_s=1e9))
    assert asyncio.get_running_loop().time() == pytest.approx(110)
    assert "the longest wait is 110 s" in text
    text = await bench.call(WaitForMessage(timeout_s=0))
    assert asyncio.get_running_loop().time() == pytest.approx(110)
    assert "longest" not in text


async def test_a_wait_ends_with_the_message(bench: Bench) -> None:
    asyncio.get_running_loop().call_later(7, bench.says, 1, "four")
    assert ">four\n" in await bench.call(WaitForMessage(timeout_s=60))
    assert asyncio.get_running_loop().time() == pytest.approx(7)


async def test_interrupting_and_attaching_say_what_came_of_it(bench: Bench) -> None:
    bench.connection.answers = [{"turn_id": "u-1"}]
    assert "u-1" in await bench.call(InterruptCodex())
    assert "already holds" in await bench.call(AttachSeat())
