"""
Delivery to Claude: from the mailbox into the session's inbox, and the proof that it was read.

:meth:`Delivery.push` writes all that waits in as few lines as fit, :meth:`Delivery.watch` looks
for proof in the transcript while something is unconfirmed, :meth:`Delivery.report` tells the
daemon, and keeps what it could not tell until the line is back.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from agentbridged.machines.recovery import Reason
from agentbridged.mcp import envelope
from agentbridged.mcp.inbox import LINE_LIMIT, Bucket, Inbox, size
from agentbridged.mcp.mailbox import Entry, Mailbox
from agentbridged.mcp.session import Session
from agentbridged.mcp.transcript import Transcript
from agentbridged.wire.claude import Consumed, Delivered, Message, Notice, Proof

EAGER_INTERVAL = 1.0
EAGER_SPAN = 30.0
LAZY_INTERVAL = 5.0

Report = Callable[[str, Any], Awaitable[bool]]
"""Tells the daemon something; false when the line is gone and it must be told again."""


class Delivery:
    """One session's incoming side."""

    def __init__(self, session: Session, inbox: Inbox, *, now: float) -> None:
        self.session, self.inbox = session, inbox
        self.mailbox = Mailbox()
        self.latest_notice: Notice | None = None
        self._bucket = Bucket(now=now)
        self._notices: list[Notice] = []
        self._transcripts: dict[str, Transcript] = {}
        self._reports: deque[tuple[str, Any]] = deque()
        self._waiters = 0
        self._absent: set[str] = set()
        self._arrived = asyncio.Event()
        self._news = asyncio.Event()
        self._reported = asyncio.Event()
        self._pushed_at = now
        self._pushed = asyncio.Event()

    def message(self, message: Message) -> None:
        """The daemon sent a message."""
        here = message.written_to is not None and self.session.is_this_process(
            message.written_to, message.created_at
        )
        if not self.mailbox.add(message, pushed=here):
            self._tell("consumed", Consumed(ids=[message.id], proof="transcript"))
            return
        if message.written_to is not None:
            self._follow(message.written_to.partition("/")[2], from_start=True)
            self.look()
        self._pushed.set()
        self._news.set()
        self._arrived.set()
        self._arrived = asyncio.Event()

    def notice(self, notice: Notice) -> None:
        """There is news of the bridge; of one kind, only the latest is worth telling."""
        self.latest_notice = notice
        if self.inbox.is_offered:
            self._notices = [n for n in self._notices if n.kind != notice.kind] + [notice]
            self._news.set()

    def unseated(self, reason: Reason) -> None:
        """The seat is gone; unless only the line broke, nothing more is pushed."""
        if reason is not Reason.DISCONNECTED:
            self.mailbox.clear()

    async def wait(self, seconds: float) -> None:
        """Wait until an unconfirmed message is there; what comes meanwhile is not pushed."""
        try:
            async with asyncio.timeout(seconds):
                while not len(self.mailbox):
                    await self._arrived.wait()
        except TimeoutError:
            return

    def consumed(self, ids: list[str], proof: Proof) -> None:
        """These reached the model."""
        if news := self.mailbox.confirm(ids):
            self._tell("consumed", Consumed(ids=news, proof=proof))

    def look(self) -> None:
        """Look for proof in the transcripts."""
        self._follow(self.session.id, from_start=False)
        wanted = {e.message.id for e in self.mailbox.redelivered()} | set(self.mailbox.provable())
        for transcript in self._transcripts.values():
            self.consumed(sorted(transcript.look(wanted)), "transcript")

    async def push(self) -> None:
        """Hand to the inbox what comes in; ends only by cancellation."""
        loop = asyncio.get_running_loop()
        while True:
            await self._news.wait()
            if delay := self._bucket.delay(now=loop.time()):
                await asyncio.sleep(delay)
            self._news.clear()
            if not self.inbox.is_offered:
                continue
            await self._push_notices()
            while not self._waiters and (batch := fitting(self.mailbox.waiting())):
                if not await self._push_messages(batch):
                    loop.call_later(LAZY_INTERVAL, self._news.set)
                    break

    async def watch(self) -> None:
        """Look for proof while something is unconfirmed; ends only by cancellation."""
        loop = asyncio.get_running_loop()
        while True:
            await self._pushed.wait()
            self.look()
            if not self.mailbox.provable():
                self._pushed.clear()
                continue
            eager = loop.time() - self._pushed_at < EAGER_SPAN
            await asyncio.sleep(EAGER_INTERVAL if eager else LAZY_INTERVAL)

    async def report(self, tell: Report) -> None:
        """Tell the daemon what happened, in order; ends only by cancellation."""
        loop = asyncio.get_running_loop()
        while True:
            await self._reported.wait()
            self._reported.clear()
            while self._reports:
                if not await tell(*self._reports[0]):
                    # The next seat tells it again; so does time, should the daemon only be slow.
                    loop.call_later(LAZY_INTERVAL, self._reported.set)
                    break
                self._reports.popleft()

    def retell(self) -> None:
        """The line is back: what could not be reported can be now."""
        self._reported.set()

    async def _push_notices(self) -> None:
        if self._notices:
            news, self._notices = self._notices, []
            self._bucket.take(now=asyncio.get_running_loop().time())
            await self.inbox.write(envelope.notices(news, batch=_nonce()))

    async def _push_messages(self, batch: list[tuple[Entry, str, int]]) -> bool:
        loop = asyncio.get_running_loop()
        if delay := self._bucket.delay(now=loop.time()):
            await asyncio.sleep(delay)
        # The transcript is followed from before the write: the proof can only come after.
        self._follow(self.session.id, from_start=False)
        if not self.mailbox.provable():
            for transcript in self._transcripts.values():
                transcript.skip()
        self._bucket.take(now=loop.time())
        text = envelope.messages(
            (part for _, part, _ in batch),
            [entry.message for entry, _, _ in batch],
            batch=_nonce(),
        )
        if not await self.inbox.write(text):
            return False
        for entry, _, handed in batch:
            self.mailbox.pushed(entry, handed)
        self._tell("delivered", Delivered(ids=[e.message.id for e, _, _ in batch], step="inbox"))
        self._pushed_at = loop.time()
        self._pushed.set()
        return True

    def _follow(self, session_id: str, *, from_start: bool) -> None:
        if session_id in self._transcripts and from_start:
            self._transcripts[session_id].rewind()
        if not session_id or session_id in self._transcripts:
            return
        path = self.session.transcript_of(session_id)
        if path is None:
            self._absent.add(session_id)
            return
        # A file that came after the first push, by its first line or by /clear, is new in whole.
        new = bool(self._transcripts) or session_id in self._absent
        self._transcripts[session_id] = Transcript(path, from_start=from_start or new)

    def _tell(self, method: str, params: Any) -> None:
        self._reports.append((method, params))
        self._reported.set()

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Push nothing meanwhile: a tool call is about to return what comes."""
        self._waiters += 1
        try:
            yield
        finally:
            self._waiters -= 1
            self._news.set()


def fitting(entries: list[Entry]) -> list[tuple[Entry, str, int]]:
    """
    Choose what goes into one line of the inbox: each entry, its wrapped text, its characters.

    As many as fit, in order; of one that no line can carry alone, the head.
    """
    chosen: list[tuple[Entry, str, int]] = []
    room = LINE_LIMIT - 4096
    for entry in entries:
        handed = len(entry.message.text)
        part = envelope.tagged(entry.message, repeat=entry.repeat)
        needed = size(part)
        if needed > LINE_LIMIT - 4096:
            if chosen:
                break
            handed = envelope.HEAD_LENGTH
            part = envelope.tagged(entry.message, repeat=entry.repeat, end=handed)
            needed = size(part)
        elif needed > room:
            break
        chosen.append((entry, part, handed))
        room -= needed
    return chosen


def _nonce() -> str:
    return secrets.token_hex(4)
