from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentbridged.bridges.bridge import Bridge
from agentbridged.bridges.registry import Bridges
from agentbridged.config import Config
from agentbridged.errors import Refused, UnknownBridge
from agentbridged.paths import bridge_id
from agentbridged.store import Store


class World:
    def __init__(self, directory: Path) -> None:
        self.store = Store(directory / "db")
        self.project = directory / "project"
        (self.project / ".git").mkdir(parents=True)
        (self.project / "deep").mkdir()
        self.opened: list[str] = []
        self.bridges = self.open()

    def open(self) -> Bridges:
        return Bridges(self.store, Config, opened=self._opened, resumed=lambda thread_id: None)

    def _opened(self, bridge: Bridge) -> None:
        self.opened.append(bridge.id)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.store.close()


def test_every_directory_of_a_project_is_the_same_bridge(world: World) -> None:
    bridge = world.bridges.at(world.project / "deep")
    assert bridge is world.bridges.bridge_for(str(world.project))
    assert bridge.id == bridge_id(world.project)
    assert world.opened == [bridge.id]
    assert world.bridges.of_side(bridge.codex) is bridge


def test_a_bridge_is_found_by_id_root_and_directory(world: World) -> None:
    id = world.bridges.ensure_bridge(str(world.project))
    for name in (id, str(world.project), str(world.project / "deep")):
        assert world.bridges.find_bridge(bridge=name, project_dir=None) == id
    assert world.bridges.find_bridge(bridge=None, project_dir=str(world.project)) == id


@pytest.mark.parametrize("name", ["nowhere", "/nowhere", ""])
def test_an_unknown_bridge_is_told(world: World, name: str) -> None:
    with pytest.raises(UnknownBridge):
        world.bridges.find_bridge(bridge=name, project_dir=None)


@pytest.mark.parametrize("directory", ["relative", "/no/such/directory", "/tmp/\0"])
def test_a_bad_project_directory_names_the_field(world: World, directory: str) -> None:
    with pytest.raises(Refused, match="project_dir"):
        world.bridges.bridge_for(directory)


def test_after_a_restart_the_bridges_that_matter_are_there(world: World) -> None:
    known = world.bridges.at(world.project)
    world.store.mark_attached(known.id)
    alone = world.bridges.at(world.project.parent)  # a Codex thread was seen there once
    again = world.open()
    again.load()
    assert [bridge.id for bridge in again] == [known.id]
    assert again.change([alone.id], "kill", by="anna", reason="") == [alone.id]


def test_a_change_is_for_all_of_them_or_for_none(world: World) -> None:
    one = world.bridges.at(world.project).id
    two = world.bridges.at(world.project.parent).id
    assert world.bridges.change([one], "kill", by="anna", reason="") == [one]
    with pytest.raises(Refused):
        world.bridges.change([two, one], "pause", by="anna", reason="")
    assert world.bridges[two].row.state == "active"
    with pytest.raises(UnknownBridge):
        world.bridges.change(["nowhere"], "kill", by="anna", reason="")
    assert world.bridges.change([one], "kill", by="ben", reason="") == []
    assert world.bridges[one].row.changed_by == "anna"


def test_news_reach_whoever_listens_until_they_stop(world: World) -> None:
    heard: list[tuple[str, dict[str, Any]]] = []
    stop = world.bridges.subscribe(lambda kind, facts: heard.append((kind, facts)))
    world.bridges.tell("child", {"name": "proxy"})
    stop()
    world.bridges.tell("child", {"name": "proxy"})
    ((kind, facts),) = heard
    assert (kind, facts["name"]) == ("child", "proxy")
    assert facts["at"].endswith("Z")
