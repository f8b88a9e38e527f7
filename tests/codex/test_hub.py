import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agentbridged.codex.client import AppServerClient
from agentbridged.codex.hub import PARTED, RETURNING, TIMES, Hub
from agentbridged.codex.side import CodexSide
from agentbridged.errors import CodexError
from agentbridged.wire import codex, link
from tests.codex.memory import Memory

IDLE = codex.ThreadStatus("idle")


class World:
    """Two projects, and a hub over their sides."""

    def __init__(self) -> None:
        self.sides = {
            name: CodexSide(Memory(Path(f"/{name}")), last_thread=None) for name in ("one", "two")
        }
        self.now = 0.0
        self.hub = Hub(
            lambda cwd: self.sides[cwd.parts[1]],
            lambda: list(self.sides.values()),
            lambda: self.now,
        )

    def bound(self, name: str) -> str | None:
        return self.sides[name].binding.thread

    def started(self, id: str, cwd: str, **more: object) -> None:
        thread = codex.Thread(id, cwd=cwd, status=IDLE, **more)  # type: ignore[arg-type]  # its own
        self.hub.heard(codex.ThreadStarted(thread))


def test_a_thread_belongs_to_the_project_of_its_directory() -> None:
    world = World()
    world.started("a", "/one/deep/below")
    world.started("b", "/two")
    assert (world.bound("one"), world.bound("two")) == ("a", "b")


def test_threads_that_no_person_sees_are_passed_over() -> None:
    world = World()
    world.started("title", "/one", ephemeral=True)
    world.started("sub", "/one", parentThreadId="a")
    world.started("nowhere", "")
    assert world.bound("one") is None


def test_a_closed_thread_is_open_no_more() -> None:
    world = World()
    world.started("a", "/one")
    world.hub.heard(codex.ThreadClosed("a"))
    assert (world.bound("one"), world.sides["one"].binding.live) == ("a", False)
    world.started("a", "/one")
    assert world.sides["one"].binding.live


@pytest.mark.requirement("C5")
def test_a_tui_behind_the_proxy_decides_and_moves_between_projects() -> None:
    world = World()
    world.started("a", "/one")
    world.started("b", "/one")
    world.started("c", "/two")
    world.hub.proxy_said(link.TuiShows(1, "a"))
    assert world.bound("one") == "a"
    world.hub.proxy_said(link.TuiShows(1, "c"))
    assert (world.sides["one"].binding.shown_by_tui, world.bound("two")) == (False, "c")
    world.hub.proxy_said(link.TuiLeft(1))
    assert not world.sides["two"].binding.shown_by_tui


@pytest.mark.requirement("C4")
def test_a_tui_that_the_proxy_told_of_before_codex_did_decides_all_the_same() -> None:
    world = World()
    world.started("a", "/one")
    world.hub.proxy_said(link.TuiShows(1, "a"))
    world.hub.proxy_said(link.TuiShows(2, "b"))
    world.started("b", "/one")
    assert world.bound("one") == "b"


def test_a_new_proxy_generation_starts_from_nothing() -> None:
    world = World()
    world.started("a", "/one")
    world.hub.proxy_said(link.TuiShows(1, "a"))
    world.hub.proxy_said(link.Hello(1, 2, "v"))
    assert not world.sides["one"].binding.shown_by_tui
    assert world.bound("one") == "a"


class Connection:
    """An app-server's connection, as far as the hub hears it."""

    heard: Callable[[codex.Event], object]
    asked: Callable[[codex.ServerRequest], object]


def news_of(number: int, cwd: str, kind: str) -> codex.Event:
    match kind:
        case "started":
            return codex.ThreadStarted(codex.Thread(f"t{number}", cwd=cwd, status=IDLE))
        case "closed":
            return codex.ThreadClosed(f"t{number}")
        case _:
            return codex.TurnStarted(f"t{number}", codex.Turn("u"))


News = st.builds(
    news_of,
    st.integers(0, 2),
    st.sampled_from(["/one", "/two"]),
    st.sampled_from(["started", "closed", "turn"]),
)


def learned(
    before: list[codex.Event], after: list[tuple[bool, codex.Event]], *, disturbed: bool
) -> tuple[object, ...]:
    """Give what a hub knows after two connections; with what the older one brought too late."""
    world, old, new = World(), Connection(), Connection()
    asked: list[object] = []
    world.hub.asked_of = lambda _, request: asked.append(request)
    world.hub.connected(cast(AppServerClient, old))
    for event in before:
        old.heard(event)
    world.hub.gone()
    if disturbed:
        old.heard(codex.ThreadStarted(codex.Thread("late", cwd="/one", status=IDLE)))
    world.hub.connected(cast(AppServerClient, new))
    for late, event in after:
        if not late:
            new.heard(event)
        elif disturbed:
            old.heard(event)
            old.asked(codex.ServerRequest(0, "m", {"threadId": "t0"}))
    return world.bound("one"), world.bound("two"), asked


@pytest.mark.requirement("C4")
@given(st.lists(News), st.lists(st.tuples(st.booleans(), News)))
def test_no_late_message_of_an_older_connection_makes_a_difference(
    before: list[codex.Event], after: list[tuple[bool, codex.Event]]
) -> None:
    assert learned(before, after, disturbed=True) == learned(before, after, disturbed=False)


def from_terminals(pid: int) -> st.SearchStrategy[list[link.FromProxy]]:
    """What a proxy may say of three terminals, which all wear this process's number."""
    return st.lists(
        st.one_of(
            st.builds(link.TuiCame, st.integers(1, 3), st.just(pid)),
            st.builds(link.TuiLeft, st.integers(1, 3)),
            st.builds(link.TuiShows, st.integers(1, 3), st.sampled_from(["a", "b", "c"])),
        )
    )


def with_threads() -> World:
    world = World()
    for id, cwd in (("a", "/one"), ("b", "/one"), ("c", "/two")):
        world.started(id, cwd)
    return world


@pytest.mark.requirement("C4")
@given(from_terminals(7), from_terminals(8))
def test_nothing_an_older_proxy_said_of_other_terminals_outlives_it(
    before: list[link.FromProxy], after: list[link.FromProxy]
) -> None:
    seen = []
    for older in (before, []):
        world = with_threads()
        for message in [*older, link.Hello(7, 2, "0"), *after]:
            world.hub.proxy_said(message)
        # What nobody shows any more stays bound as it was, so that a restart moves nothing.
        bindings = [side.binding for side in world.sides.values()]
        seen.append((world.hub.tuis, [b.thread if b.shown_by_tui else None for b in bindings]))
    assert seen[0] == seen[1]


def shown(world: World) -> list[str | None]:
    bindings = [side.binding for side in world.sides.values()]
    return [b.thread if b.shown_by_tui else None for b in bindings]


Switches = st.lists(st.tuples(st.integers(1, 4), st.sampled_from(["a", "b", "c"])))


@pytest.mark.requirement("C5")
@given(Switches, st.permutations(range(1, 5)), st.sampled_from(["killed", "one by one"]))
def test_terminals_that_come_back_in_any_order_move_no_bridge(
    switches: list[tuple[int, str]], back: list[int], how: str
) -> None:
    world, shows = with_threads(), dict(switches)
    for tui in range(1, 5):
        world.hub.proxy_said(link.TuiCame(tui, 100 + tui))
    for tui, thread_id in switches:
        world.hub.proxy_said(link.TuiShows(tui, thread_id))
    before = shown(world)
    if how == "killed":
        world.hub.proxy_gone()
        world.hub.proxy_said(link.Hello(7, 2, "0"))
    else:  # as the app-server went
        for tui in reversed(back):
            world.hub.proxy_said(link.TuiLeft(tui))
    for number, tui in enumerate(back, 10):
        world.hub.proxy_said(link.TuiCame(number, 100 + tui))
        if tui in shows:
            world.hub.proxy_said(link.TuiShows(number, shows[tui]))
    assert shown(world) == before


@pytest.mark.requirement("C5")
def test_whoever_came_back_and_switches_then_wins_as_ever() -> None:
    world = with_threads()
    terminals = {1: "a", 2: "b"}
    for tui, thread_id in terminals.items():
        world.hub.proxy_said(link.TuiCame(tui, 100 + tui))
        world.hub.proxy_said(link.TuiShows(tui, thread_id))
    world.hub.proxy_gone()
    for tui in (2, 1):
        world.hub.proxy_said(link.TuiCame(tui, 100 + tui))
        world.hub.proxy_said(link.TuiShows(tui, terminals[tui]))
    assert world.bound("one") == "b"
    world.hub.proxy_said(link.TuiCame(3, 103))
    world.hub.proxy_said(link.TuiShows(3, "a"))
    assert world.bound("one") == "a"
    world.hub.proxy_said(link.TuiShows(2, "b"))
    assert world.bound("one") == "b"


def test_of_terminals_that_parted_a_bounded_number_is_known_again() -> None:
    world = with_threads()
    for number in range(1, 3 * PARTED):
        world.hub.proxy_said(link.TuiCame(number, number))
        world.hub.proxy_said(link.TuiShows(number, "a"))
        world.hub.proxy_said(link.TuiLeft(number))
    assert len(world.hub._parted) == PARTED


def test_a_thread_learned_of_late_does_not_outrank_a_later_switch() -> None:
    world = World()
    world.started("b", "/one")
    world.hub.proxy_said(link.TuiShows(1, "a"))
    world.hub.proxy_said(link.TuiShows(2, "b"))
    world.started("a", "/one")
    assert world.bound("one") == "b"


@pytest.mark.requirement("C5")
@pytest.mark.parametrize(("after", "bound"), [(RETURNING - 1, "b"), (RETURNING, "a")])
def test_who_comes_back_to_another_app_server_in_time_moves_no_bridge(
    after: float, bound: str
) -> None:
    world = World()
    world.hub.connected(cast(AppServerClient, Connection()))
    world.started("a", "/one")
    world.started("b", "/one")
    world.hub.gone()
    world.now += 1000
    world.hub.connected(cast(AppServerClient, Connection()))
    world.started("b", "/one")
    world.now += after
    world.started("a", "/one")
    assert world.bound("one") == bound


class Loaded:
    """An app-server that holds some threads, and answers what the hub asks."""

    heard: Callable[[codex.Event], object]
    asked: Callable[[codex.ServerRequest], object]

    def __init__(self, *threads: codex.Thread) -> None:
        self._threads = {thread.id: thread for thread in threads}
        self.overloaded: dict[str, int] = {}
        """How often each thread cannot be read yet."""

    async def call(self, method: str, params: dict[str, Any], kind: object) -> object:
        if method == "thread/loaded/list":
            return codex.LoadedList(list(self._threads))
        if self.overloaded.get(params["threadId"], 0) > 0:
            self.overloaded[params["threadId"]] -= 1
            raise CodexError(codex.OVERLOADED, "Server overloaded; retry later.")
        return codex.ThreadAnswer(self._threads[params["threadId"]])

    def closes(self, id: str) -> None:
        """Nobody has a thread open any more."""
        del self._threads[id]
        self.heard(codex.ThreadClosed(id))

    def becomes(self, id: str, status: codex.ThreadStatus) -> None:
        """A thread is unloaded, or a client resumes it: all are told of its status alone."""
        self._threads[id] = replace(self._threads[id], status=status)
        self.heard(codex.ThreadStatusChanged(id, status))


CREATED = {"old": 5.0, "newest": 9.0, "older": 1.0}


async def learns(world: World, within: float = 1) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(within):
            await world.hub.run()


async def found_open(world: World, overloaded: int = 0) -> list[str | None]:
    """What the bridge is bound to, one after the other, when these threads are loaded already."""
    bound: list[str | None] = []
    side = world.sides["one"]
    side.wake = lambda: bound.append(side.binding.thread)  # type: ignore[method-assign]  # to see it
    threads = [
        codex.Thread(id, cwd="/one", status=IDLE, createdAt=at) for id, at in CREATED.items()
    ]
    app_server = Loaded(*threads)
    app_server.overloaded = {"newest": overloaded}
    world.hub.connected(cast(AppServerClient, app_server))
    bound.clear()
    await learns(world, TIMES + 1.5)
    return bound


async def test_a_thread_that_was_unloaded_as_it_was_read_is_learned_of_when_it_is_resumed() -> None:
    world = World()
    thread = codex.Thread("a", cwd="/one", status=codex.ThreadStatus("notLoaded"))
    app_server = Loaded(thread)
    world.hub.connected(cast(AppServerClient, app_server))
    await learns(world)
    app_server.becomes("a", codex.ThreadStatus("notLoaded"))
    await learns(world)
    assert world.bound("one") is None
    app_server.becomes("a", IDLE)
    await learns(world)
    assert world.bound("one") == "a"


@pytest.mark.requirement("C5")
async def test_what_is_loaded_already_is_learned_at_once_and_the_newest_is_bound() -> None:
    assert await found_open(World()) == ["newest"]


@pytest.mark.parametrize(
    ("cursor", "bound"), [("u@10", "older"), ("u@8", "newest"), ("", "newest")]
)
async def test_an_older_thread_stays_bound_if_it_had_a_turn_since(cursor: str, bound: str) -> None:
    world = World()
    world.sides["one"].owner.bound("older", cursor)
    assert await found_open(world) == [bound]


async def test_an_app_server_that_is_overloaded_is_asked_again_before_one_is_chosen() -> None:
    assert await found_open(World(), overloaded=2) == ["newest"]


async def test_a_thread_that_cannot_be_read_for_long_holds_up_the_others_no_further() -> None:
    assert await found_open(World(), overloaded=TIMES) == ["old", "old"]


async def test_a_thread_that_is_closed_while_another_is_asked_for_again_is_not_open() -> None:
    world = World()
    app_server = Loaded(*(codex.Thread(id, cwd="/one", status=IDLE) for id in ("a", "b")))
    app_server.overloaded = {"b": 2}
    world.hub.connected(cast(AppServerClient, app_server))
    await learns(world, 0.5)
    app_server.closes("a")
    await learns(world, 5)
    assert not world.sides["one"].binding.live
