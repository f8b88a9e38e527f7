"""
A daemon that dies at whatever point of writing loses nothing it acknowledged, and halves nothing.

The life of some messages is lived in a child that kills itself before its k-th write (and right
after each commit, before anybody is told), for every k that finds the files or what was told
otherwise than the one before; then the database is opened again, looked at, and the same life lived
to its end on what was left. What a commit writes is torn, too.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentbridged.machines.outbox import State
from agentbridged.store import Store
from agentbridged.store.approvals import Approvals
from agentbridged.store.bridges import Bridges
from tests.store.crashing import (
    PACKAGE,
    PLUMBING,
    Fact,
    Point,
    Watch,
    quick_directory,
    rehearse,
    watched,
)
from tests.store.life import as_a_person_would, live, onward, picture


def lived(directory: Path, deadly: int, facts: Path) -> int:
    """Live in a child of this process that dies at a point; returns how it ended."""
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    try:
        descriptor = os.open(facts, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

        def tell(*fact: str) -> None:
            os.write(descriptor, json.dumps(fact).encode() + b"\n")

        with pytest.MonkeyPatch.context() as patch:
            watched(Watch(deadly), patch)
            live(directory, tell)
    except BaseException as error:
        os.write(2, f"\nthe life itself failed: {error!r}\n".encode())
        os._exit(1)
    os._exit(0)


@pytest.fixture
def quick() -> Iterator[Path]:
    with quick_directory() as directory:
        yield directory


@pytest.fixture(scope="module")
def rehearsal() -> Iterator[tuple[Watch, dict[str, Any], set[str]]]:
    """One life without a death, for all tests."""
    with quick_directory() as directory:
        yield rehearse(directory / "rehearsal")


Rehearsal = tuple[Watch, dict[str, Any], set[str]]


@pytest.mark.realtime
def test_a_death_at_any_point_of_writing_loses_and_halves_nothing(
    quick: Path, rehearsal: Rehearsal
) -> None:
    watch, end, _ = rehearsal
    before = Point("the beginning", {}, [])
    died = 0
    for deadly, point in enumerate(watch.points, 1):
        if point.is_like(before):
            continue
        directory, facts = quick / "life", quick / "facts"
        directory.mkdir()
        status = lived(directory, deadly, facts)
        where = f"point {deadly}, {point.what}, since {before.what}"
        assert os.WIFSIGNALED(status), where
        assert os.WTERMSIG(status) == signal.SIGKILL, where
        told: list[Fact] = [tuple(json.loads(line)) for line in read(facts).splitlines()]
        assert names(told) == names(point.told), where
        look(directory / "state" / "a.db", told, where)
        if point.files != before.files:
            go_on(directory, end, where)
        shutil.rmtree(directory)
        facts.unlink(missing_ok=True)
        before = point
        died += 1
    commits = [point.what for point in watch.points].count("after COMMIT")
    assert commits > 50
    assert died > commits, "each commit changes the files, and what follows it is another point"


@pytest.mark.realtime
def test_a_commit_that_is_torn_while_it_is_written_never_was(quick: Path) -> None:
    watch, end, _ = rehearse(quick / "rehearsal")
    torn = 0
    for before, after in itertools.pairwise(watch.points):
        if (before.what, after.what) != ("before COMMIT", "after COMMIT"):
            continue
        for name, content in after.files.items():
            old = before.files.get(name, b"")
            if content == old or not content.startswith(old):
                continue
            for length in tears(len(old), len(content)):
                directory = quick / "torn"
                (directory / "state").mkdir(parents=True)
                for each, text in before.files.items():
                    (directory / "state" / each).write_bytes(text)
                (directory / "state" / name).write_bytes(content[:length])
                where = f"{name} torn at {length} of {len(old)}..{len(content)}"
                look(directory / "state" / "a.db", before.told, where)
                if not torn % 10:
                    go_on(directory, end, where)
                shutil.rmtree(directory)
                torn += 1
    assert torn > 150


def tears(begin: int, end: int) -> list[int]:
    """Return where to tear what was added to a log: in the first page, between, in the last."""
    return sorted({begin + 10, begin + 2000, (begin + end) // 2, end - 2000, end - 1})


def names(told: list[Fact]) -> list[Fact]:
    """Leave out what is named at random."""
    return [(kind, "" if kind == "approval" else name, state) for kind, name, state in told]


def go_on(directory: Path, end: dict[str, Any], where: str) -> None:
    """Live on what is left; the end must be that of a life without a death."""
    live(directory, lambda *fact: None)
    store = Store(directory / "state" / "a.db")
    assert picture(store) == end, where
    store.close()


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def look(path: Path, told: list[Fact], where: str) -> None:
    """Open what a death left, and hold it to what was acknowledged, and to what is lawful."""
    as_a_person_would(path)
    store = Store(path)
    assert store.health.ok, where
    try:
        sound(store, where)
        kept(store, told, where)
    finally:
        store.close()


def sound(store: Store, where: str) -> None:
    """Whole as a database, and as a record: every move with its attempt, no item twice."""
    database = store._db
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)], where
    assert database.execute("PRAGMA foreign_key_check").fetchall() == [], where
    for bridge in store.bridges():
        rows = store.history(bridge.id, limit=1000)
        texts = [row.text for row in rows]
        assert len(set(texts)) == len(texts), where
        waiting = [row for row in rows if row.state == "accepted"]
        counts = store.counts(bridge.id)
        assert counts.to_codex + counts.to_claude == len(waiting), where
        for row in rows:
            onward(row.state)  # it is a lawful one
            tries = {(a.step, a.result) for a in store.attempts(row.id)}
            if row.direction == "to_codex" and row.state in ("written", "consumed", "answered"):
                assert {("queue", "sending"), ("queue", "ok")} <= tries, where
            if row.direction == "to_codex":
                assert (("turn", "ok") in tries) == (row.turn_id is not None), where
            assert (("answer", "ok") in tries) == (row.state == "answered"), where
            found = store.search(f"{row.text}", bridge.id)
            assert row.id in [each.id for each in found], where


def kept(store: Store, told: list[Fact], where: str) -> None:
    """What was acknowledged is there, as it was or further on."""
    rows = {row.text: row for row in store.history(None, limit=1000)}
    later: dict[tuple[str, str], str] = {}
    for kind, name, state in told:
        later[kind, name] = state
    for (kind, name), state in later.items():
        if kind == "message" and state == "forgotten":
            assert name not in rows, where
        elif kind == "message":
            assert rows[name].state in onward(_state(state)), where
        elif kind == "approval":
            row = store.approval(name)
            assert row is not None, where
            order = ("pending", "answered", "resolved")
            assert order.index(row.state) >= order.index(state), where
    switched = [state for kind, name, state in told if (kind, name) == ("bridge", "state")]
    if switched:
        (bridge,) = store.bridges()
        assert bridge.state in following(switched), where
        cursors = [state for kind, name, state in told if (kind, name) == ("bridge", "cursor")]
        assert not cursors or bridge.cursor in (cursors[-1], "u2@2"), where


SWITCHES = ["active", "paused", "active", "killed", "active", "paused", "active", "killed"]


def following(switched: list[str]) -> list[str]:
    """Return the last state that was acknowledged, and the one that may have been on its way."""
    at = len(switched)
    return SWITCHES[at : at + 2]


def _state(word: str) -> State:
    return word  # type: ignore[return-value]  # looked up in the table at once


# That nothing is left out


def calls_in(node: ast.AST) -> set[str]:
    """Return the methods of its own object that a function calls."""
    return {
        call.func.attr
        for call in ast.walk(node)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id == "self"
    }


def writing_methods() -> set[str]:
    """Return the public methods of the store that write, be it through others."""
    calls: dict[str, set[str]] = {}
    for kind in (Store, Bridges, Approvals):
        (body,) = ast.parse(inspect.getsource(kind)).body
        assert isinstance(body, ast.ClassDef)
        calls |= {f.name: calls_in(f) for f in body.body if isinstance(f, ast.FunctionDef)}
    writing = {"transaction"}
    while more := {name for name, called in calls.items() if called & writing} - writing:
        writing |= more
    return {name for name in writing if not name.startswith("_")} - {"transaction"}


def places_of_writing() -> set[str]:
    """Return the functions of the package that open a transaction or move a file."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        if path.parent.name not in ("store", "bridges"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name not in PLUMBING and writes(node):
                found.add(f"{path.relative_to(PACKAGE)}:{node.name}")
    return found


def writes(function: ast.FunctionDef) -> bool:
    return any(
        called(call) in ("transaction", "block", "rename")
        or (
            called(call) == "execute"
            and isinstance(call.args[0], ast.Constant)
            and str(call.args[0].value).startswith("BEGIN")
        )
        for call in ast.walk(function)
        if isinstance(call, ast.Call)
    )


def called(call: ast.Call) -> str:
    match call.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
        case _:
            return ""


def test_the_life_calls_every_method_that_writes(rehearsal: Rehearsal) -> None:
    _, _, called = rehearsal
    assert {"add", "advance", "prune", "set_thread", "add_approval"} <= writing_methods()
    assert writing_methods() - called == set()


def test_the_life_passes_every_place_of_writing(rehearsal: Rehearsal) -> None:
    watch, _, _ = rehearsal
    assert {"store/shadows.py:merge", "bridges/bridge.py:delivered"} <= places_of_writing()
    assert places_of_writing() - watch.sites == set()
