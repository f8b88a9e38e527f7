"""The store: what is told to be kept is kept, once, in order, and across a crash."""

import itertools
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentbridged.errors import StoreError, UnknownBridge, UnknownMessage
from agentbridged.store import MessageRow, Store
from tests.store.clock import Clock

DAY = 86_400.0


def ask(store: Store, text: str = "question", bridge: str = "a-1") -> MessageRow:
    row, created = store.add(bridge=bridge, direction="to_codex", sender="claude", text=text)
    assert created
    return row


def hear(store: Store, text: str = "answer", bridge: str = "a-1") -> MessageRow:
    return store.add(bridge=bridge, direction="to_claude", sender="codex", text=text)[0]


# Messages


def test_a_message_is_numbered_within_its_bridge_across_both_directions(store: Store) -> None:
    rows = [ask(store), hear(store), ask(store, bridge="b-2"), ask(store)]
    assert [row.seq for row in rows] == [1, 2, 1, 3]
    assert all(row.id.startswith("ab-") and len(row.id) == 15 for row in rows)


def test_a_message_comes_back_as_it_was_given(store: Store, clock: Clock) -> None:
    row, _ = store.add(
        bridge="a-1",
        direction="to_claude",
        sender="codex",
        text="ünïcödé \0 and \ud800 half a pair",
        state="history",
        thread_id="t",
        turn_id="u",
        item_id="i",
        when_busy="steer",
        start_thread=True,
        prompts=["one", "two"],
        in_reply_to="ab-0",
    )
    assert row == store.message(row.id)
    assert row.text == "ünïcödé \0 and ? half a pair"
    assert (row.thread_id, row.turn_id, row.item_id) == ("t", "u", "i")
    assert (row.when_busy, row.start_thread, row.prompts) == ("steer", True, ["one", "two"])
    assert (row.state, row.created_at, row.changed_at) == ("history", clock.now, clock.now)


def test_the_same_idempotency_key_is_the_same_message(store: Store) -> None:
    def send(bridge: str, text: str) -> tuple[MessageRow, bool]:
        return store.add(
            bridge=bridge, direction="to_codex", sender="claude", text=text, idempotency_key="k"
        )

    first, created = send("a-1", "hello")
    assert created
    assert send("a-1", "other") == (first, False)
    other, created = send("b-2", "hello")
    assert created
    assert other.id != first.id


def test_an_item_of_codex_is_kept_once(store: Store) -> None:
    def item() -> tuple[MessageRow, bool]:
        return store.add(
            bridge="a-1", direction="to_claude", sender="codex", text="x", item_id="msg_1"
        )

    first, created = item()
    assert created
    store.advance([first.id], "answered")
    assert item() == (store.message(first.id), False)
    assert len(store.history("a-1")) == 1


def test_a_message_for_an_unknown_bridge_is_refused(store: Store) -> None:
    with pytest.raises(UnknownBridge, match="nowhere"):
        ask(store, bridge="nowhere")


def test_messages_move_forward_only_and_say_which_moved(store: Store, clock: Clock) -> None:
    one, two = ask(store), ask(store)
    clock.now += 5
    moved = store.advance([one.id, two.id, "ab-unknown"], "written", step="queue", turn_id="u1")
    assert [(row.id, row.state, row.turn_id, row.changed_at) for row in moved] == [
        (one.id, "written", "u1", clock.now),
        (two.id, "written", "u1", clock.now),
    ]
    assert store.advance([one.id], "written", step="queue") == []
    assert [row.state for row in store.advance([one.id], "consumed")] == ["consumed"]
    assert store.advance([one.id], "written") == []
    assert store.advance([one.id], "failed") == []
    assert store.message(one.id) != one


def test_a_later_move_keeps_the_turn_it_is_not_told_about(store: Store) -> None:
    row = ask(store)
    store.advance([row.id], "written", turn_id="u1", written_to="7/s")
    (row,) = store.advance([row.id], "consumed")
    assert (row.turn_id, row.written_to) == ("u1", "7/s")


def test_tries_are_kept_in_order_and_only_for_moves_that_happened(
    store: Store, clock: Clock
) -> None:
    row = ask(store)
    store.attempt(row.id, "queue", "doubtful", "the app-server went away")
    clock.now += 1
    store.advance([row.id], "written", step="queue")
    store.advance([row.id], "written", step="queue")
    assert [(t.at, t.step, t.result, t.detail) for t in store.attempts(row.id)] == [
        (clock.now - 1, "queue", "doubtful", "the app-server went away"),
        (clock.now, "queue", "ok", ""),
    ]
    with pytest.raises(UnknownMessage, match="ab-none"):
        store.attempt("ab-none", "queue", "ok")


def test_what_waits_is_listed_in_order_per_bridge_and_direction(store: Store) -> None:
    one, two, three = ask(store), ask(store), ask(store)
    hear(store)
    ask(store, bridge="b-2")
    store.advance([two.id], "written")
    assert [r.id for r in store.undelivered("a-1", "to_codex")] == [one.id, three.id]
    assert [r.id for r in store.unconfirmed("a-1", "to_codex")] == [two.id]
    assert store.unconfirmed("a-1", "to_claude") == []


def test_a_turns_messages_are_found_by_the_turn(store: Store) -> None:
    one, _, three = ask(store), ask(store), ask(store)
    store.advance([three.id, one.id], "consumed", turn_id="u")
    assert [r.id for r in store.by_turn("a-1", "u", "to_codex")] == [one.id, three.id]
    assert store.by_turn("a-1", "u", "to_claude") == []
    assert store.by_turn("b-2", "u", "to_codex") == []


def test_counts_say_what_waits_and_since_when(store: Store, clock: Clock) -> None:
    assert store.counts("a-1").oldest_undelivered is None
    first = ask(store)
    clock.now += 10
    ask(store)
    heard = hear(store)
    assert store.counts("b-2").to_codex == 0
    counts = store.counts("a-1")
    assert (counts.to_codex, counts.to_claude) == (2, 1)
    assert counts.oldest_undelivered == first.created_at
    store.advance([first.id, heard.id], "written")
    counts = store.counts("a-1")
    assert (counts.to_codex, counts.to_claude) == (1, 0)
    assert counts.oldest_undelivered == clock.now
    assert store.counts("nowhere").to_codex == 0


def test_history_pages_backward_and_forward(store: Store) -> None:
    rows = [ask(store, str(n)) for n in range(6)]
    other = ask(store, "elsewhere", bridge="b-2")
    seqs = [r.seq for r in rows]
    assert [r.seq for r in store.history("a-1", limit=3)] == seqs[3:]
    assert [r.seq for r in store.history("a-1", limit=2, before_seq=4)] == [2, 3]
    assert [r.seq for r in store.history("a-1", limit=2, after_seq=2)] == [3, 4]
    assert [r.id for r in store.history(None, limit=2)] == [rows[-1].id, other.id]


# Search


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("token", ["the access-token expired", "another TOKEN"]),
        ("token expired", ["the access-token expired"]),
        ("access-token", ["the access-token expired"]),
        ("tok", []),
        ("tok*", ["the access-token expired", "another TOKEN"]),
        ("caf\N{LATIN SMALL LETTER E WITH ACUTE}", ["cafe"]),
        ("token OR cafe", []),
        ("NEAR(token)", []),
        ('"', []),
        ("***", []),
        ("--", []),
        ("text:token", []),
        ("", []),
        ("a\0b", []),
    ],
)
def test_search_finds_whole_words_and_takes_no_syntax(
    store: Store, query: str, found: list[str]
) -> None:
    for text in ("the access-token expired", "cafe", "another TOKEN"):
        ask(store, text)
    assert [r.text for r in store.search(query)] == found
    assert [r.text for r in store.search(query, "a-1")] == found
    assert store.search(query, "b-2") == []


@given(query=st.text(max_size=30))
@settings(max_examples=200, deadline=None)
def test_no_query_a_person_can_type_is_an_error(query: str) -> None:
    store = Store(Path(os.environ["AGENTBRIDGE_TEST_DB"]))
    try:
        store.search(query)
        store.search(query, "a-1")
    finally:
        store.close()


@pytest.fixture(autouse=True, scope="module")
def _database_for_queries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        path = tmp_path_factory.mktemp("queries") / "q.db"
        patch.setenv("AGENTBRIDGE_TEST_DB", str(path))
        yield


def test_search_in_a_bridge_never_shows_another_bridges_words(store: Store) -> None:
    ask(store, "needle here")
    ask(store, "needle there, which names a-1", bridge="b-2")
    assert [r.text for r in store.search("needle", "a-1")] == ["needle here"]


def test_the_latest_finds_come_when_there_are_too_many(store: Store) -> None:
    for n in range(5):
        ask(store, f"same {n}")
    assert [r.text for r in store.search("same", limit=2)] == ["same 3", "same 4"]
    assert [r.text for r in store.search("same", "a-1", limit=2)] == ["same 3", "same 4"]


# Keeping


def test_everything_is_there_after_opening_again(store: Store, clock: Clock) -> None:
    row = ask(store)
    store.set_bridge_state("a-1", "killed", by="me")
    store.close()
    again = Store(store.path, clock)
    assert again.message(row.id) == row
    bridge = again.bridge("a-1")
    assert bridge is not None
    assert bridge.state == "killed"
    again.close()


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from agentbridged.store import Store\n"
        "s = Store(Path(sys.argv[1])); s.ensure_bridge('a-1', '/a')\n"
        "for n in range(10000):\n"
        "    row, _ = s.add(bridge='a-1', direction='to_codex', sender='claude', text=str(n))\n"
        "    print(row.id, flush=True)\n"
    )
    path = tmp_path / "k.db"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        told = [line.strip() for line in itertools.islice(process.stdout, 50)]
        process.kill()
    store = Store(path)
    kept = {row.id for row in store.history("a-1", limit=20_000)}
    store.close()
    assert len(told) == 50
    assert set(told) <= kept


def test_pruning_deletes_what_is_old_and_finished_only(store: Store, clock: Clock) -> None:
    old, waiting, written = ask(store, "old"), ask(store, "waits"), ask(store, "handed over")
    store.advance([old.id], "answered", step="queue")
    store.advance([written.id], "written")
    clock.now += 2 * DAY
    fresh = ask(store, "new")
    store.advance([fresh.id], "answered")
    assert store.prune(keep_days=3) == 0
    assert store.prune(keep_days=1) == 1
    assert store.message(old.id) is None
    assert store.attempts(old.id) == []
    assert store.search("old") == []
    assert [r.id for r in store.history("a-1")] == [waiting.id, written.id, fresh.id]
    assert ask(store).seq == 5


def test_pruning_takes_a_bounded_bite(store: Store, clock: Clock) -> None:
    store.advance([ask(store).id for _ in range(5)], "failed")
    clock.now += 9 * DAY
    assert [store.prune(1, limit=2) for _ in range(4)] == [2, 2, 1, 0]


def test_a_failed_write_changes_nothing_and_the_store_goes_on(store: Store) -> None:
    row = ask(store)
    with pytest.raises(StoreError, match="failed"):
        store.advance([row.id], "written", step=None, detail="x" * 10, turn_id=object())  # type: ignore[arg-type]
    assert store.message(row.id) == row
    assert ask(store).seq == 2


def test_a_lock_of_another_program_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store._db.execute("PRAGMA busy_timeout = 10")
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="another program holds a lock"):
        ask(store)
    other.execute("ROLLBACK")
    other.close()
    ask(store)


def test_the_counters_agree_with_the_rows_after_any_traffic(store: Store, clock: Clock) -> None:
    rows = [ask(store) if n % 3 else hear(store) for n in range(30)]
    for n, row in enumerate(rows):
        if n % 2:
            store.advance([row.id], ("written", "failed", "consumed", "history")[n % 4])
    clock.now += 9 * DAY
    store.prune(1)
    counts = store.counts("a-1")
    assert counts.to_codex == len(store.undelivered("a-1", "to_codex"))
    assert counts.to_claude == len(store.undelivered("a-1", "to_claude"))


@pytest.mark.requirement("C5")
def test_a_thread_holds_a_message_from_the_try_until_its_turn_ended(store: Store) -> None:
    def put(thread_id: str) -> str:
        message, _ = store.add(bridge="a-1", direction="to_codex", sender="claude", text="?")
        store.attempt(message.id, "queue", "sending", thread_id)
        return message.id

    answered, failed, waiting, moved = put("t1"), put("t1"), put("t2"), put("t1")
    assert store.unanswered("a-1").keys() == {"t1", "t2"}
    store.attempt(moved, "queue", "sending", "t3")
    store.advance([answered, failed, waiting, moved], "written")
    store.advance([answered, failed], "consumed", step="turn", turn_id="u")
    assert store.unanswered("a-1").keys() == {"t1", "t2", "t3"}
    store.advance([answered], "answered", step="answer")
    assert "t1" in store.unanswered("a-1")
    store.attempt(failed, "turn", "interrupted")
    assert store.unanswered("a-1").keys() == {"t2", "t3"}
    assert store.unanswered("b-2") == {}


@pytest.mark.requirement("C5")
def test_why_a_step_did_nothing_is_no_thread(store: Store) -> None:
    message, _ = store.add(bridge="a-1", direction="to_codex", sender="claude", text="?")
    store.attempt(message.id, "steer", "sending", "t1")
    store.attempt(message.id, "steer", "not taken", "no active turn to steer")
    store.advance([message.id], "written")
    assert store.unanswered("a-1").keys() == {"t1"}
