"""
The store: every bridge and every message, on disk before anyone is told.

Called synchronously from the event loop: a commit takes about a millisecond, and the order of
what happened is then the order of the calls. Methods raise :exc:`StoreError` saying what to do,
:exc:`StoreUnavailable` when it may succeed later; a method that raised has changed nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterable, Sequence
from typing import Any

from agentbridged.errors import UnknownMessage
from agentbridged.machines.outbox import UNFINISHED, State, may_move
from agentbridged.store.approvals import Approvals
from agentbridged.store.bridges import Bridges
from agentbridged.store.rows import (
    AttemptRow,
    Counts,
    Direction,
    MessageRow,
    Sender,
)
from agentbridged.store.shadows import MESSAGE
from agentbridged.store.tallies import Tallies
from agentbridged.wire.claude import WhenBusy

_DAY = 86_400.0
_ID = re.compile("ab-[0-9a-f]{12}")
"""What :meth:`Store._fresh_id` makes."""


def is_id(text: str) -> bool:
    """Whether this can only be the id of a message of ours, be it known or not."""
    return _ID.fullmatch(text) is not None


class Store(Bridges, Approvals, Tallies):
    """The one database of a user's daemon: its bridges, its messages, and the tries at them."""

    def add(
        self,
        *,
        bridge: str,
        direction: Direction,
        sender: Sender,
        text: str,
        state: State = "accepted",
        thread_id: str | None = None,
        turn_id: str | None = None,
        item_id: str | None = None,
        idempotency_key: str | None = None,
        when_busy: WhenBusy = "queue",
        start_thread: bool = False,
        prompts: Sequence[str] = (),
        in_reply_to: str | None = None,
    ) -> tuple[MessageRow, bool]:
        """
        Keep a message; it is on disk when this returns. The flag says whether it is new.

        The same idempotency key (per bridge and direction) or the same item id (per bridge)
        returns the earlier message, unchanged. Raises :exc:`UnknownBridge`.
        """
        if sender != "codex":
            self.must_keep()  # its sender relies on it
        now = self._clock()
        with self.transaction():
            earlier = self._earlier(bridge, direction, idempotency_key, item_id)
            if earlier is not None:
                return earlier, False
            self._known_bridge(bridge)
            self._db.execute("UPDATE bridges SET last_seq = last_seq + 1 WHERE id = ?", (bridge,))
            message_id = self._fresh_id(bridge, item_id)
            self._db.execute(
                f"INSERT INTO messages ({MESSAGE}) SELECT ?, id, last_seq, ?, ?, ?, ?, ?, ?, ?, "
                "?, ?, ?, ?, ?, NULL, ?, ? FROM bridges WHERE id = ?",
                (
                    *(message_id, direction, sender, _storable(text), state),
                    *(thread_id, turn_id, item_id, idempotency_key, when_busy, start_thread),
                    *(json.dumps(list(prompts)), in_reply_to, now, now, bridge),
                ),
            )
            return self._known_message(message_id), True

    def advance(
        self,
        ids: Iterable[str],
        state: State,
        *,
        step: str = "",
        result: str = "ok",
        detail: str = "",
        turn_id: str | None = None,
        written_to: str | None = None,
    ) -> list[MessageRow]:
        """
        Move messages on, all in one transaction; return those that moved.

        An unlawful or repeated move and an unknown id change nothing. Each message that moved
        gets an attempt row when *step* is given.
        """
        now = self._clock()
        moved = []
        with self.transaction():
            for id in ids:
                row = self.message(id)
                if row is None or not may_move(row.state, state):
                    continue
                self._db.execute(
                    "UPDATE messages SET state = ?, changed_at = ?, "
                    "turn_id = coalesce(?, turn_id), written_to = coalesce(?, written_to) "
                    "WHERE id = ?",
                    (state, now, turn_id, written_to, id),
                )
                if step:
                    self._insert_attempt(id, now, step, result, detail)
                moved.append(self._known_message(id))
        return moved

    def handed_over_again(self, ids: Iterable[str], *, step: str, written_to: str) -> None:
        """Keep to whom written messages went last; what is past that, or not there yet, stays."""
        now = self._clock()
        with self.transaction():
            for id in ids:
                changed = self._db.execute(
                    "UPDATE messages SET written_to = ? WHERE id = ? AND state = 'written'",
                    (written_to, id),
                )
                if changed.rowcount:
                    self._insert_attempt(id, now, step, "ok", written_to)

    def attempt(self, id: str, step: str, result: str, detail: str = "") -> None:
        """Keep a try that moved nothing; raises :exc:`UnknownMessage`."""
        if self.health.state == "memory" and self.message(id) is None:
            self.must_keep()  # it is in a file that cannot be read
        with self.transaction():
            self._known_message(id)
            self._insert_attempt(id, self._clock(), step, result, detail)

    def message(self, id: str) -> MessageRow | None:
        """Return a message by its id."""
        rows = self._messages("WHERE id = ?", (id,))
        return rows[0] if rows else None

    def by_turn(self, bridge: str, turn_id: str, direction: Direction) -> list[MessageRow]:
        """Return a turn's messages of one direction, in order."""
        return self._messages(
            "WHERE bridge = ? AND turn_id = ? AND direction = ? ORDER BY seq",
            (bridge, turn_id, direction),
        )

    def undelivered(self, bridge: str, direction: Direction) -> list[MessageRow]:
        """Return what has not been handed over yet, in order."""
        return self._messages(
            "WHERE bridge = ? AND direction = ? AND state = 'accepted' ORDER BY seq",
            (bridge, direction),
        )

    def unconfirmed(self, bridge: str, direction: Direction) -> list[MessageRow]:
        """Return what was handed over and not proven to have been read, in order."""
        return self._messages(
            "WHERE bridge = ? AND direction = ? AND state = 'written' ORDER BY seq",
            (bridge, direction),
        )

    def unanswered(self, bridge: str) -> dict[str, float]:
        """
        Return the threads that hold messages for Codex, each with the Unix time of the earliest.

        A thread holds a message from the last attempt to put it there until the end of its turn.
        """
        held: dict[str, float] = {}
        for state in ("= 'accepted'", "IN ('written', 'consumed')"):  # each has an index
            for thread_id, at in self._read(
                "SELECT a.detail, a.at FROM messages m JOIN attempts a ON a.rowid = "
                "(SELECT max(rowid) FROM attempts WHERE message = m.id AND detail != '' "
                "AND result IN ('sending', 'ok')) "  # of another result, the detail is its reason
                f"WHERE m.bridge = ? AND m.direction = 'to_codex' AND m.state {state} "
                "AND NOT EXISTS (SELECT 1 FROM attempts t WHERE t.message = m.id "
                "AND t.step = 'turn' AND t.result != 'ok')",
                (bridge,),
            ):
                held[thread_id] = min(at, held.get(thread_id, at))
        return held

    def since_word(self, bridge: str, limit: int = 1000) -> list[MessageRow]:
        """
        Return what crossed the bridge since a person's last word, oldest first.

        At most the latest *limit*; what was kept for history alone crossed nothing. A bridge
        without a word has nothing behind it: see :meth:`person_spoke`.
        """
        return self._messages(
            "WHERE bridge = ? AND seq > (SELECT seq FROM words WHERE bridge = messages.bridge) "
            "AND state != 'history' ORDER BY seq DESC LIMIT ?",
            (bridge, limit),
        )[::-1]

    def history(
        self,
        bridge: str | None,
        *,
        limit: int = 50,
        before_seq: int | None = None,
        after_seq: int | None = None,
    ) -> list[MessageRow]:
        """
        Return the latest *limit* messages of one bridge, or of all, oldest first.

        *before_seq* and *after_seq* (both exclusive) page through one bridge; with *after_seq*
        it is the first *limit* messages after it.
        """
        if bridge is None:
            return self._messages("ORDER BY n DESC LIMIT ?", (limit,))[::-1]
        if after_seq is not None:
            return self._messages(
                "WHERE bridge = ? AND seq > ? ORDER BY seq LIMIT ?", (bridge, after_seq, limit)
            )
        before = 2**62 if before_seq is None else before_seq
        return self._messages(
            "WHERE bridge = ? AND seq < ? ORDER BY seq DESC LIMIT ?", (bridge, before, limit)
        )[::-1]

    def search(self, query: str, bridge: str | None = None, limit: int = 50) -> list[MessageRow]:
        """
        Return the latest *limit* messages that hold every word of *query*, oldest first.

        Words match whole, without regard to case and accents; ``word*`` matches a beginning.
        """
        wanted = _match(query)
        if bridge is not None:
            wanted = f"{wanted} AND bridge : {_quoted(bridge)}"
        found = "SELECT rowid FROM messages_words WHERE messages_words MATCH ? ORDER BY rowid DESC"
        if bridge is None:
            where, values = f"WHERE n IN ({found} LIMIT ?)", (wanted, limit)
            return self._messages(f"{where} ORDER BY n", values)
        where = f"WHERE n IN ({found}) AND bridge = ? ORDER BY n DESC LIMIT ?"
        return self._messages(where, (wanted, bridge, limit))[::-1]

    def attempts(self, id: str) -> list[AttemptRow]:
        """Return the tries at a message, in order."""
        rows = self._read(
            "SELECT message, at, step, result, detail FROM attempts WHERE message = ? "
            "ORDER BY rowid",
            (id,),
        )
        return [AttemptRow(*row) for row in rows]

    def counts(self, bridge: str) -> Counts:
        """Return what waits in a bridge; as quick with a million messages as with one."""
        oldest = (
            "(SELECT created_at FROM messages WHERE bridge = bridges.id "
            "AND direction = '{}' AND state = 'accepted' ORDER BY seq LIMIT 1)"
        )
        rows = self._read(
            f"SELECT to_codex, to_claude, {oldest.format('to_codex')}, "
            f"{oldest.format('to_claude')} FROM bridges WHERE id = ?",
            (bridge,),
        )
        if not rows:
            return Counts(0, 0, None)
        to_codex, to_claude, *times = rows[0]
        return Counts(to_codex, to_claude, min((t for t in times if t is not None), default=None))

    def prune(self, keep_days: int, limit: int = 2000) -> int:
        """
        Delete finished messages older than *keep_days*, at most *limit*; return how many.

        What is still to be delivered or proven stays, however old. Bounded, so that the event
        loop is not held up: call again while it returns *limit*. Settled approvals, which are
        few, go along.
        """
        before = self._clock() - keep_days * _DAY
        unfinished = ", ".join(f"'{state}'" for state in sorted(UNFINISHED))
        with self.transaction():
            self._drop_settled(before)
            return self._db.execute(
                f"DELETE FROM messages WHERE n IN (SELECT n FROM messages WHERE created_at < ? "
                f"AND state NOT IN ({unfinished}) ORDER BY created_at LIMIT ?)",
                (before, limit),
            ).rowcount

    def _messages(self, where: str, values: tuple[Any, ...]) -> list[MessageRow]:
        return [
            _message_row(r) for r in self._read(f"SELECT {MESSAGE} FROM messages {where}", values)
        ]

    def _known_message(self, id: str) -> MessageRow:
        row = self.message(id)
        if row is None:
            raise UnknownMessage(id)
        return row

    def _earlier(
        self, bridge: str, direction: Direction, key: str | None, item_id: str | None
    ) -> MessageRow | None:
        rows: list[MessageRow] = []
        if key is not None:
            where = "WHERE bridge = ? AND direction = ? AND idempotency_key = ?"
            rows = self._messages(where, (bridge, direction, key))
        if not rows and item_id is not None:
            rows = self._messages("WHERE bridge = ? AND item_id = ?", (bridge, item_id))
        return rows[0] if rows else None

    def _fresh_id(self, bridge: str, item_id: str | None) -> str:
        """Choose an id: an item's is always the same, so that the repeat of a lost row is known."""
        digest = hashlib.sha256(f"{bridge}\0{item_id}".encode()).hexdigest()[:12]
        id = f"ab-{secrets.token_hex(6) if item_id is None else digest}"
        while self.message(id) is not None:
            id = f"ab-{secrets.token_hex(6)}"
        return id

    def _insert_attempt(self, id: str, at: float, step: str, result: str, detail: str) -> None:
        self._db.execute(
            "INSERT INTO attempts (message, at, step, result, detail) VALUES (?, ?, ?, ?, ?)",
            (id, at, step, result, detail),
        )

    def untold(self, bridge: str, since: float, limit: int) -> list[MessageRow]:
        """
        Return the messages for Codex that came to a bad end since then and were not told of.

        At most the latest *limit*, in order: of what was read, Claude's whose turn ended badly;
        of what failed, the latest thousand messages' alone.
        """
        turn = "step = 'turn' AND result != 'ok'"
        found: list[MessageRow] = []
        for where in (  # each has its index, which sorting by an indexed seq would lose
            "WHERE bridge = ? AND direction = 'to_codex' AND state IN ('written', 'consumed') "
            "AND state = 'consumed' AND sender = 'claude' AND EXISTS (SELECT 1 FROM attempts "
            f"WHERE message = messages.id AND {turn} AND at >= ?)",
            "WHERE n IN (SELECT n FROM messages WHERE bridge = ? ORDER BY seq DESC LIMIT 1000) "
            "AND direction = 'to_codex' AND state = 'failed' AND changed_at >= ?",
        ):
            untold = "SELECT 1 FROM attempts WHERE message = messages.id AND step = 'told'"
            found += self._messages(
                f"{where} AND NOT EXISTS ({untold}) ORDER BY +seq DESC LIMIT ?",
                (bridge, since, limit),
            )
        return sorted(found, key=lambda message: message.seq)[-limit:]


def _message_row(row: Sequence[Any]) -> MessageRow:
    values = list(row)
    values[12] = bool(values[12])
    values[13] = json.loads(values[13])
    return MessageRow(*values)


def _storable(text: str) -> str:
    """Replace what UTF-8 cannot hold: half a surrogate pair, as JSON's escapes can name it."""
    return text.encode("utf-8", "replace").decode()


def _quoted(word: str) -> str:
    return '"' + word.replace('"', '""') + '"'


def _match(query: str) -> str:
    """Write FTS5's query for all words of a person's; nothing a person types is syntax to FTS5."""
    words = [
        _quoted(word.rstrip("*")) + ("*" if word.endswith("*") and word.strip("*") else "")
        for word in query.replace("\0", " ").split()
    ]
    return f"text : ({' AND '.join(words)})" if words else 'text : ""'
