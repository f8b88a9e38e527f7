"""Messages go out in as few lines as fit, in order, and are followed until they are proven."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agentbridged.machines.recovery import Reason
from agentbridged.mcp import envelope
from agentbridged.mcp.channel import Channel
from agentbridged.mcp.delivery import Delivery, fitting
from agentbridged.mcp.inbox import LINE_LIMIT, Inbox, user_line
from agentbridged.mcp.mailbox import Entry
from agentbridged.mcp.session import Session
from agentbridged.wire.claude import Message, Notice, Tried, Ways
from tests.mcp.scripted_daemon import codex_says


def message(number: int, text: str = "", **more: object) -> Message:
    return msgspec.convert(codex_says(number, text or f"text {number}", **more), Message)


class Written(Inbox):
    """An inbox that keeps what is written, on the virtual clock."""

    def __init__(self) -> None:
        super().__init__(
            {"CLAUDE_CODE_MESSAGING_SOCKET": "/x/1.sock", "CLAUDE_CODE_MESSAGING_TOKEN": "t"}
        )
        self.texts: list[str] = []
        self.fails = 0

    async def write(self, text: str) -> bool:
        """Take it, or fail as often as told."""
        await asyncio.sleep(0)
        if self.fails:
            self.fails -= 1
            return False
        self.texts.append(text)
        return True


class Side:
    """One delivery at work."""

    def __init__(self, delivery: Delivery, box: Written, home: Path) -> None:
        self.delivery, self.box, self.home = delivery, box, home
        self.reports: list[tuple[str, list[str]]] = []
        self.notified: list[bytes] = []
        """What went to the channel."""
        self.tried: list[tuple[str, str]] = []
        """Step and result of what went wrong."""
        self.ways: dict[str, str] = {}
        """The state of each step, as last told."""
        self.is_down = False

    async def tell(self, method: str, params: Any) -> bool:
        """The daemon's end of the reports."""
        if self.is_down:
            return False
        match params:
            case Ways(ways=ways):
                self.ways = {way.step: way.state for way in ways}
            case Tried(step=step, result=result):
                self.tried.append((step, result))
            case _:
                self.reports.append((method, params.ids))
        return True

    def record(self, **content: object) -> None:
        """Write what Claude Code says of the session itself."""
        folder = self.home / ".claude/sessions"
        folder.mkdir(parents=True, exist_ok=True)
        record = {"sessionId": "s-1", "status": "idle", **content}
        (folder / f"{os.getpid()}.json").write_text(json.dumps(record), encoding="utf-8")

    def transcript(self, text: str, session: str = "s-1", **line: object) -> None:
        """Write what woke the model, or another line."""
        folder = self.home / ".claude/projects/-p"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{session}.jsonl").open("a", encoding="utf-8") as file:
            written = line or {"type": "user", "message": {"content": text}}
            file.write(json.dumps(written) + "\n")


@asynccontextmanager
async def side(
    home: Path, *, box: Written | None = None, channelled: bool = False
) -> AsyncIterator[Side]:
    box = box or Written()
    environment = {"HOME": str(home), "CLAUDE_CODE_SESSION_ID": "s-1"}
    session = Session(environment, parent=os.getpid(), cwd=Path("/p"))
    notified: list[bytes] = []
    channel = Channel(notified.append, asked_for=lambda: channelled)
    made = Side(Delivery(session, box, channel, now=0), box, home)
    made.notified = notified
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(made.delivery.push()),
            tasks.create_task(made.delivery.watch()),
            tasks.create_task(made.delivery.report(made.tell)),
        ]
        yield made
        for task in running:
            task.cancel()


async def test_all_that_waits_goes_into_one_line_in_order(tmp_path: Path) -> None:
    async with side(tmp_path) as it:
        for number in (2, 1, 3):
            it.delivery.message(message(number))
        await asyncio.sleep(0.1)
        (text,) = it.box.texts
        assert text.index("text 1") < text.index("text 2") < text.index("text 3")
        assert it.reports == [("delivered", [message(n).id for n in (1, 2, 3)])]


async def test_the_transcript_that_appears_after_the_first_push_proves_it(tmp_path: Path) -> None:
    async with side(tmp_path) as it:
        it.delivery.message(message(1))
        await asyncio.sleep(0.1)
        it.transcript(it.box.texts[0])
        await asyncio.sleep(1.1)
        assert it.reports[1:] == [("consumed", [message(1).id])]
        assert len(it.delivery.mailbox) == 0


async def test_proof_is_found_under_a_new_session_id_too(tmp_path: Path) -> None:
    async with side(tmp_path) as it:
        it.transcript("an older line")
        it.delivery.message(message(1))
        await asyncio.sleep(0.1)
        folder = tmp_path / ".claude/sessions"
        folder.mkdir()
        (folder / f"{os.getpid()}.json").write_text('{"sessionId":"s-2"}', encoding="utf-8")
        it.transcript(it.box.texts[0], "s-2")
        await asyncio.sleep(1.1)
        assert it.reports[1:] == [("consumed", [message(1).id])]


async def test_proof_that_comes_late_is_still_found(tmp_path: Path) -> None:
    async with side(tmp_path) as it:
        it.delivery.message(message(1))
        await asyncio.sleep(3600)
        it.transcript(it.box.texts[0])
        await asyncio.sleep(5.1)
        assert it.reports[1:] == [("consumed", [message(1).id])]


async def test_what_an_older_session_read_is_proven_from_its_transcript(tmp_path: Path) -> None:
    async with side(tmp_path) as it:
        it.transcript(envelope.tagged(message(1)), "s-0")
        it.delivery.message(message(1, written_to="1/s-0"))
        await asyncio.sleep(0.1)
        assert it.box.texts == []
        assert it.reports == [("consumed", [message(1).id])]


async def test_a_consumed_message_that_comes_again_is_reported_again(tmp_path: Path) -> None:
    async with side(tmp_path) as it:
        it.delivery.message(message(1))
        it.delivery.consumed([message(1).id], "tool")
        it.delivery.message(message(1))
        await asyncio.sleep(0.1)
        assert it.reports == [("consumed", [message(1).id])] * 2
        assert it.box.texts == []


async def test_a_failed_write_is_tried_again_and_reported_once(tmp_path: Path) -> None:
    async with side(tmp_path) as it:
        it.box.fails = 2
        it.delivery.message(message(1))
        await asyncio.sleep(4)
        assert it.box.texts == []
        await asyncio.sleep(8)
        assert len(it.box.texts) == 1
        assert [method for method, _ in it.reports] == ["delivered"]
        assert it.tried == [("inbox", "failed")]


async def test_what_the_inbox_did_not_take_is_not_overtaken(tmp_path: Path) -> None:
    async with side(tmp_path) as it:
        it.box.fails = 1
        it.delivery.message(message(1))
        await asyncio.sleep(1)
        it.delivery.message(message(2))
        await asyncio.sleep(6)
        (text,) = it.box.texts
        assert text.index("text 1") < text.index("text 2")


async def test_reports_wait_for_the_line_to_come_back(tmp_path: Path) -> None:
    async with side(tmp_path) as it:
        it.is_down = True
        it.delivery.message(message(1))
        await asyncio.sleep(1)
        it.delivery.unseated(Reason.DISCONNECTED)
        assert it.reports == []
        it.is_down = False
        it.delivery.retell()
        await asyncio.sleep(0.1)
        assert it.reports == [("delivered", [message(1).id])]


@pytest.mark.parametrize("reason", [Reason.EVICTED, Reason.KILLED])
async def test_without_the_seat_nothing_more_is_pushed(tmp_path: Path, reason: Reason) -> None:
    async with side(tmp_path) as it:
        with it.delivery.held_back():
            it.delivery.message(message(1))
            await asyncio.sleep(1)
            it.delivery.unseated(reason)
        await asyncio.sleep(60)
        assert it.box.texts == []


async def test_of_news_of_one_kind_only_the_latest_is_told(tmp_path: Path) -> None:
    async with side(tmp_path) as it:
        for text in ("waits for approval of A", "waits for approval of B"):
            it.delivery.notice(Notice(kind="approval", text=text))
        it.delivery.notice(Notice(kind="thread", text="another thread"))
        await asyncio.sleep(1)
        (text,) = it.box.texts
        assert "of A" not in text
        assert "of B" in text
        assert "another thread" in text


async def test_waiting_ends_with_the_time_or_the_message(tmp_path: Path) -> None:
    async with side(tmp_path) as it:
        loop = asyncio.get_running_loop()
        await it.delivery.wait(110)
        assert loop.time() == pytest.approx(110)
        loop.call_later(7, it.delivery.message, message(1))
        await it.delivery.wait(110)
        assert loop.time() == pytest.approx(117)


def test_a_line_is_never_longer_than_the_inbox_takes() -> None:
    entries = [Entry(message(n, "\x01ü" * 60_000)) for n in range(1, 6)]
    left, lines = entries, 0
    while left:
        batch = fitting(left)
        above = [entry.message for entry, _, _ in batch]
        text = envelope.messages((part for _, part, _ in batch), above, batch="1")
        assert len(user_line(text)) <= LINE_LIMIT
        left, lines = left[len(batch) :], lines + 1
    assert lines == 3


def test_of_a_text_no_line_can_carry_the_head_is_pushed() -> None:
    entries = [Entry(message(1)), Entry(message(2, "\x01" * 900_000)), Entry(message(3))]
    assert [e.message.seq for e, _, _ in fitting(entries)] == [1]
    ((_, part, handed), *rest) = fitting(entries[1:])
    assert handed == envelope.HEAD_LENGTH
    assert "read_messages" in part
    assert [e.message.seq for e, _, _ in rest] == [3]


async def test_a_proof_that_came_while_the_bridge_was_killed_is_found_after_the_revival(
    tmp_path: Path,
) -> None:
    async with side(tmp_path) as it:
        it.transcript("the session began")
        it.delivery.message(message(1))
        await asyncio.sleep(0.1)
        it.delivery.unseated(Reason.KILLED)
        it.transcript(it.box.texts[0])
        await asyncio.sleep(30)
        it.delivery.message(message(1, written_to=f"{os.getpid()}/s-1"))
        await asyncio.sleep(30)
        assert it.reports[-1] == ("consumed", [message(1).id])
        assert len(it.box.texts) == 1


class Nowhere(Written):
    """An inbox that Claude Code did not name."""

    def __init__(self) -> None:
        Inbox.__init__(self, {})
        self.texts: list[str] = []
        self.fails = 0


async def test_without_an_inbox_the_channel_carries_it_and_both_are_told(tmp_path: Path) -> None:
    async with side(tmp_path, box=Nowhere(), channelled=True) as it:
        it.delivery.message(message(1, "over the channel"))
        await asyncio.sleep(0.1)
        (line,) = it.notified
        sent = json.loads(line)
        assert sent["method"] == "notifications/claude/channel"
        assert sent["params"]["meta"] == {"from": "codex"}
        assert envelope.openings(message(1).id)[0] in sent["params"]["content"]
        assert "cross-session" not in sent["params"]["content"]
        assert it.reports == [("delivered", [message(1).id])]
        assert it.tried == [("inbox", "missing")]


async def test_without_both_it_waits_and_the_reasons_are_told_once(tmp_path: Path) -> None:
    async with side(tmp_path, box=Nowhere()) as it:
        it.delivery.message(message(1))
        it.delivery.message(message(2))
        await asyncio.sleep(60)
        assert (it.notified, it.reports) == ([], [])
        assert it.tried == [("inbox", "missing"), ("channel", "missing")] * 2


async def test_an_inbox_of_another_protocol_is_not_written_to(tmp_path: Path) -> None:
    async with side(tmp_path) as it:
        it.record(peerProtocol=2)
        it.delivery.message(message(1))
        await asyncio.sleep(60)
        assert it.box.texts == []
        it.delivery.tell_ways()
        await asyncio.sleep(1)
        assert it.ways["inbox"] == "off"


async def test_what_shows_no_sign_in_an_idle_session_goes_to_the_channel_marked(
    tmp_path: Path,
) -> None:
    async with side(tmp_path, channelled=True) as it:
        it.record()
        it.transcript("the session began")
        it.delivery.message(message(1))
        await asyncio.sleep(14)
        assert (len(it.box.texts), it.notified) == (1, [])
        await asyncio.sleep(3600)
        (line,) = it.notified
        assert "perhaps" in json.loads(line)["params"]["content"]
        assert it.tried == [("inbox", "unconfirmed"), ("channel", "unconfirmed")]
        assert len(it.box.texts) == 1


@pytest.mark.parametrize(
    "line",
    [
        {"type": "queue-operation", "operation": "enqueue", "content": "TAG"},
        {"type": "system", "content": "Held peer message — preview: TAG"},
    ],
)
async def test_what_claude_code_keeps_for_later_is_not_pushed_again(
    tmp_path: Path, line: dict[str, str]
) -> None:
    async with side(tmp_path, channelled=True) as it:
        it.record()
        it.transcript("the session began")
        it.delivery.message(message(1))
        await asyncio.sleep(0.1)
        tag = envelope.openings(message(1).id)[0]
        quoted = tag if line["type"] == "queue-operation" else tag.replace('"', "")
        it.transcript("", **{**line, "content": line["content"].replace("TAG", quoted)})
        await asyncio.sleep(3600)
        assert it.notified == []
        assert it.tried == ([] if line["type"] == "queue-operation" else [("inbox", "held")])
        it.transcript(it.box.texts[0])
        await asyncio.sleep(6)
        assert it.reports[-1] == ("consumed", [message(1).id])


async def test_where_nothing_can_be_proven_it_is_handed_over_once_and_so_said(
    tmp_path: Path,
) -> None:
    async with side(tmp_path, channelled=True) as it:
        it.record()
        it.transcript("", kind="of another format")
        it.delivery.message(message(1))
        await asyncio.sleep(3600)
        assert (len(it.box.texts), it.notified) == (1, [])
        assert it.ways["proof"] == "off"


async def test_what_worked_here_is_told_as_proven(tmp_path: Path) -> None:
    async with side(tmp_path) as it:
        it.delivery.retell()
        it.delivery.message(message(1))
        await asyncio.sleep(0.1)
        assert it.ways["inbox"] == "usable"
        it.transcript(it.box.texts[0])
        await asyncio.sleep(2)
        assert (it.ways["inbox"], it.ways["proof"]) == ("proven", "proven")
        assert (it.ways["stop_hook"], it.ways["channel"]) == ("unknown", "off")
