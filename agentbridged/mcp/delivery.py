"""
Delivery to Claude: from the mailbox to the session, step by step, and the proof that it was read.

:meth:`Delivery.push` hands over all that waits in as few lines as fit, by the way that
:mod:`agentbridged.machines.ladder` says; :meth:`Delivery.watch` looks for proof in the transcript
while something is unconfirmed; :meth:`Delivery.report` tells the daemon what came of it, and keeps
what it could not tell until the line is back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from agentbridged.machines import ladder
from agentbridged.machines.recovery import Reason
from agentbridged.mcp import envelope
from agentbridged.mcp.channel import Channel
from agentbridged.mcp.inbox import LINE_LIMIT, Bucket, Inbox, size
from agentbridged.mcp.mailbox import Entry, Mailbox
from agentbridged.mcp.session import Now, Session
from agentbridged.mcp.transcript import Seen, Transcript
from agentbridged.mcp.ways import describe
from agentbridged.wire.claude import Consumed, Delivered, Message, Notice, Proof, Step, Tried, Ways

EAGER_INTERVAL = 1.0
EAGER_SPAN = 30.0
LAZY_INTERVAL = 5.0

Report = Callable[[str, Any], Awaitable[bool]]
"""Tells the daemon something; false when the line is gone and it must be told again."""
Part = tuple[Entry, str, int]
"""A message, as it is handed over, and the characters of it that are in there."""


class Delivery:
    """One session's incoming side."""

    def __init__(self, session: Session, inbox: Inbox, channel: Channel, *, now: float) -> None:
        self.session, self.inbox, self.channel = session, inbox, channel
        self.mailbox = Mailbox()
        self.latest_notice: Notice | None = None
        self.hooked = False
        """Whether a hook told us of the end of a turn."""
        self._proven: set[Step | Proof] = set()
        """What is known to work here: the ways by which proven messages had come, and the proof."""
        self._described: Ways | None = None
        self._bucket = Bucket(now=now)
        self._notices: list[Notice] = []
        self._transcripts: dict[str, Transcript] = {}
        self._reports: deque[tuple[str, Any]] = deque()
        self._told: set[tuple[str, Step, str]] = set()
        """Id, step and result of what the daemon was told went wrong: once is enough."""
        self._unread = False
        """Whether a transcript is to be read from its start: of a burst, once for all."""
        self._waiters = 0
        self._absent: set[str] = set()
        self._arrived = asyncio.Event()
        self._news = asyncio.Event()
        self._reported = asyncio.Event()
        self._pushed_at = now
        self._pushed = asyncio.Event()

    # What happens

    def message(self, message: Message) -> None:
        """The daemon sent a message."""
        here = message.written_to is not None and self.session.is_this_process(
            message.written_to, message.created_at
        )
        is_old = message.id not in self.mailbox and self.session.is_younger(message.created_at)
        if not self.mailbox.add(message, pushed=here, is_old=is_old):
            self.tell("consumed", Consumed(ids=[message.id], proof="transcript"))
            return
        if message.written_to is not None:
            self._follow(message.written_to.partition("/")[2], from_start=True)
        if is_old:
            self._follow(self.session.id, from_start=True)
        self._unread |= is_old or message.written_to is not None
        self._pushed.set()
        self._news.set()
        self._arrived.set()
        self._arrived = asyncio.Event()

    def notice(self, notice: Notice) -> None:
        """There is news of the bridge; of one kind, only the latest is worth telling."""
        self.latest_notice = notice
        if not self._inbox_lack(self.session.now()):
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
        entries = [e for e in self.mailbox.unconfirmed() if e.message.id in ids]
        if news := self.mailbox.confirm(ids):
            self._proven.update(step for e in entries for step in e.passage.handed[-1:])
            self._proven.add(proof)
            self.tell("consumed", Consumed(ids=news, proof=proof))
            self.tell_ways()

    # Ways, and proof

    def ways(self) -> ladder.Ways:
        """Say what this session has now."""
        now = self.session.now()
        return ladder.Ways(
            inbox=self._inbox_lack(now),
            channel=self.channel.problem,
            proof=self._proof_lack(now),
            idle=now.idle,
        )

    def described(self) -> Ways:
        """Say which steps of the ladder there are, and why not the others."""
        return describe(
            self.session.version,
            self.ways(),
            inbox_problem=self.inbox.problem,
            hooked=self.hooked,
            proven=self._proven,
        )

    def tell_ways(self) -> None:
        """Tell the daemon of them, where they changed."""
        if (described := self.described()) != self._described:
            self._described = described
            self.tell("ways", described)

    def _inbox_lack(self, now: Now) -> str:
        return self.inbox.lack(self.session.version, now.protocol)

    def _proof_lack(self, now: Now) -> str:
        current = self._transcripts.get(now.id)
        if current is None:
            return ladder.NO_TRANSCRIPT
        return "" if current.is_known else "the transcript is of a format that is not known here"

    def look(self) -> None:
        """Look for proof in the transcripts, and for what is still on its way there."""
        self._unread = False
        current = self.session.id
        self._follow(current, from_start=False)
        sought = self.mailbox.sought()
        seen = Seen()
        for id, transcript in self._transcripts.items():
            found = transcript.look(sought)
            # What waits, or is in part, in another conversation is not so in this one.
            seen.add(found if id == current else Seen(proven=found.proven))
        self.consumed(sorted(seen.proven), "transcript")
        self._signs(seen)

    def _signs(self, seen: Seen) -> None:
        entries = self.mailbox.unconfirmed()
        # Of what it holds back Claude Code quotes the first line alone.
        held = {e.passage.batch for e in entries if e.message.id in seen.held}
        for entry in entries:
            if not entry.pushed:
                # A server before this one handed it over, and nobody was told.
                entry.repeat |= entry.message.id in {*seen.heads, *seen.queued, *seen.held}
            elif entry.message.id in seen.heads:
                entry.passage.sign = "shown"
                entry.handed = min(entry.handed, seen.heads[entry.message.id])
            elif entry.message.id in seen.queued:
                entry.passage.sign = "queued"
            elif entry.message.id in seen.held or entry.passage.batch in held:
                entry.passage.sign = "held"
                self._say([entry], "inbox", "held", "until the person lets it in")

    # Pushing

    async def push(self) -> None:
        """Push what comes in; ends only by cancellation."""
        loop = asyncio.get_running_loop()
        while True:
            await self._news.wait()
            if delay := self._bucket.delay(now=loop.time()):
                await asyncio.sleep(delay)
            self._news.clear()
            await self._push_notices()
            while not self._waiters and await self._push_next():
                pass

    async def _push_next(self) -> bool:
        """Push the next batch; says whether there may be more to do."""
        loop = asyncio.get_running_loop()
        if delay := self._bucket.delay(now=loop.time()):
            await asyncio.sleep(delay)
        # The transcript is followed from before the write: the proof can only come after.
        self._follow(self.session.id, from_start=False)
        if self._unread:
            self.look()
        step, entries = self._next(now=loop.time())
        if step is None:
            return False
        if not self.mailbox.sought():
            for transcript in self._transcripts.values():
                transcript.skip()
        batch = fitting(entries)
        nonce = envelope.nonce()
        for entry, _, characters in batch:
            self.mailbox.pushed(entry, characters, step, now=loop.time(), batch=nonce)
        self._bucket.take(now=loop.time())
        taken = await self._write(step, batch, nonce)
        self._after(step, [entry for entry, _, _ in batch], taken)
        return True

    def _next(self, *, now: float) -> tuple[Step | None, list[Entry]]:
        """Return what goes next, and by which way: as much as can go together."""
        ways = self.ways()
        chosen: list[Entry] = []
        way: Step | None = None
        is_held_up = False
        for entry in self.mailbox.unconfirmed():
            step = ladder.push(entry.passage, ways, now=now)
            if step is None:
                self._explain(entry, ways)
                # What waits for its first way is overtaken by nothing.
                is_held_up = is_held_up or not entry.pushed
                continue
            if is_held_up or way not in (None, step):
                break
            way = step
            chosen.append(entry)
        for entry in chosen:
            self._explain(entry, ways)
        return way, chosen

    def _explain(self, entry: Entry, ways: ladder.Ways) -> None:
        """Tell the daemon why the ways above the next one are none for this message."""
        if entry.passage.handed:
            return
        for step in ladder.PUSHED:
            if not (why := ways.lacks(step)):
                return
            self._say([entry], step, "missing", why)

    async def _write(self, step: Step, batch: list[Part], nonce: str) -> bool:
        parts = [part for _, part, _ in batch]
        messages = [entry.message for entry, _, _ in batch]
        if step == "channel":
            text = envelope.bare(parts, messages, batch=nonce)
            await self.channel.write(text, envelope.sender_of(messages))
            return True
        return await self.inbox.write(envelope.messages(parts, messages, batch=nonce))

    def _after(self, step: Step, entries: list[Entry], taken: bool) -> None:
        """They were written by this way; *taken* is false where the inbox did not take them."""
        self.tell_ways()
        if not taken:
            self._say(entries, step, "failed", self.inbox.problem)
            for entry in entries:
                self.mailbox.failed(entry, step)
            asyncio.get_running_loop().call_later(LAZY_INTERVAL, self._try_again)
            return
        self.handed_over(entries, step)

    def _try_again(self) -> None:
        for entry in self.mailbox.waiting():
            entry.passage.failed.clear()
        self._news.set()

    def handed_over(self, entries: list[Entry], step: Step) -> None:
        """These were handed over by this step: the daemon is told, and proof is looked for."""
        self.tell("delivered", Delivered(ids=[e.message.id for e in entries], step=step))
        self._pushed_at = asyncio.get_running_loop().time()
        self._pushed.set()

    async def watch(self) -> None:
        """Look for proof while something is unconfirmed; ends only by cancellation."""
        loop = asyncio.get_running_loop()
        while True:
            await self._pushed.wait()
            self.look()
            self._climb(now=loop.time())
            if not any(entry.pushed for entry in self.mailbox.unconfirmed()):
                self._pushed.clear()
                continue
            eager = loop.time() - self._pushed_at < EAGER_SPAN
            await asyncio.sleep(EAGER_INTERVAL if eager else LAZY_INTERVAL)

    def _climb(self, *, now: float) -> None:
        """What shows no sign in an idle session goes on to the next way, if there is one."""
        ways = self.ways()
        overdue = [
            entry
            for entry in self.mailbox.unconfirmed()
            if ladder.is_overdue(entry.passage, ways, now=now)
        ]
        for entry in overdue:
            why = f"no sign in the idle session's transcript after {ladder.PATIENCE:.0f} s"
            self._say([entry], entry.passage.handed[-1], "unconfirmed", why)
        if any(ladder.push(entry.passage, ways, now=now) for entry in overdue):
            self._news.set()

    # Reports

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
        """The line is back: what could not be reported can be now; a new daemon knows no ways."""
        self._described = None
        self.tell_ways()
        self._reported.set()

    def tell(self, method: str, params: Any) -> None:
        """Report something to the daemon, after what was reported before."""
        self._reports.append((method, params))
        self._reported.set()

    def _say(self, entries: Iterable[Entry], step: Step, result: str, why: str) -> None:
        """Report that a step did not get messages through; each message's only once."""
        news = [e.message.id for e in entries if (e.message.id, step, result) not in self._told]
        if news:
            self._told.update((id, step, result) for id in news)
            self.tell("tried", Tried(ids=news, step=step, result=result, detail=why[:1000]))

    async def _push_notices(self) -> None:
        if self._notices and not self._inbox_lack(self.session.now()):
            news, self._notices = self._notices, []
            self._bucket.take(now=asyncio.get_running_loop().time())
            await self.inbox.write(envelope.notices(news, batch=envelope.nonce()))

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

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Push nothing meanwhile: a tool call is about to return what comes."""
        self._waiters += 1
        try:
            yield
        finally:
            self._waiters -= 1
            self._news.set()


def fitting(entries: list[Entry]) -> list[Part]:
    """
    Choose what is pushed in one go, a line of the inbox: each entry, its wrapped text, its length.

    As many as fit, in order; of one that no line can carry alone, the head.
    """
    chosen: list[Part] = []
    room = LINE_LIMIT - 4096
    for entry in entries:
        handed = len(entry.message.text)
        part = envelope.tagged(entry.message, repeat=entry.is_repeat)
        needed = size(part)
        if needed > LINE_LIMIT - 4096:
            if chosen:
                break
            handed = envelope.HEAD_LENGTH
            part = envelope.tagged(entry.message, repeat=entry.is_repeat, end=handed)
            needed = size(part)
        elif needed > room:
            break
        chosen.append((entry, part, handed))
        room -= needed
    return chosen
