"""One world for each module, and the evidence of it in every failure."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from tests.lab.tui import ClaudeTui, CodexTui
from tests.lab.world import World


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A private world with the plugin installed and the daemon running."""
    with World.at_work() as world:
        yield world


@pytest.fixture(scope="module")
def codex(world: World) -> CodexTui:
    """Plain ``codex`` at its prompt."""
    return world.codex_tui()


@pytest.fixture(scope="module")
def claude(world: World, codex: CodexTui) -> ClaudeTui:
    """Plain ``claude`` at its prompt, bridged with Codex."""
    claude = world.claude_tui()
    world.wait_bridged(seat=claude.pid)
    return claude


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the screens and the daemon's log to a failure."""
    report = yield
    world = getattr(item, "funcargs", {}).get("world")
    if report.failed and isinstance(world, World):
        report.sections.append(("world", world.report()))
    return report
