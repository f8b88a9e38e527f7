from pathlib import Path

from agentbridged.codex.hub import Hub
from agentbridged.codex.side import CodexSide
from agentbridged.wire import codex, link
from tests.codex.memory import Memory

IDLE = codex.ThreadStatus("idle")


class World:
    """Two projects, and a hub over their sides."""

    def __init__(self) -> None:
        self.sides = {
            name: CodexSide(Memory(Path(f"/{name}")), last_thread=None) for name in ("one", "two")
        }
        self.hub = Hub(lambda cwd: self.sides[cwd.parts[1]], lambda: list(self.sides.values()))

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


def test_a_new_proxy_generation_starts_from_nothing() -> None:
    world = World()
    world.started("a", "/one")
    world.hub.proxy_said(link.TuiShows(1, "a"))
    world.hub.proxy_said(link.Hello(1, 2, "v"))
    assert not world.sides["one"].binding.shown_by_tui
    assert world.bound("one") == "a"
