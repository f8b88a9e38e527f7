"""What is shown on a desktop, how often, and by which program."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from agentbridged.bridges import desktop
from agentbridged.bridges.desktop import EVERY, LINES, Desktop, program
from agentbridged.bridges.registry import Bridges
from agentbridged.config import Config, check
from agentbridged.machines import governor
from agentbridged.store import Store

PAUSED = {"state": "paused", "by": governor.BY, "reason": "20 messages in a row"}
ASKED = {"state": "pending", "method": "item/commandExecution/requestApproval"}


class Screen:
    """A desktop that keeps what it shows."""

    def __init__(self, directory: Path) -> None:
        self.store = Store(directory / "db")
        self.config = Config()
        self.bridges = Bridges(
            self.store, lambda: self.config, opened=lambda _: None, resumed=lambda _: None
        )
        self.shown: list[tuple[float, list[str]]] = []
        self.news = asyncio.Event()
        self.desktop = Desktop(self.bridges, lambda: self.config, self.show)
        self.ids = {}
        for name in ("red", "blue"):
            (directory / name / ".git").mkdir(parents=True)
            self.ids[name] = self.bridges.at(directory / name).id

    async def show(self, lines: Sequence[str]) -> None:
        self.shown.append((asyncio.get_running_loop().time(), list(lines)))
        self.news.set()

    def tell(self, kind: str, name: str = "red", **facts: Any) -> None:
        self.bridges.tell(kind, {"bridge": self.ids[name], **facts})

    async def notices(self, seconds: float = 10 * EVERY) -> list[tuple[float, list[str]]]:
        """Let time go by, and return what was shown until then."""
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.desktop.run())
            await asyncio.wait({task}, timeout=seconds)
            task.cancel()
        return self.shown


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Screen]:
    screen = Screen(tmp_path)
    yield screen
    screen.store.close()


async def test_codex_that_waits_for_a_person_is_shown_at_once(screen: Screen) -> None:
    screen.tell("approval", **ASKED)
    ((at, lines),) = await screen.notices()
    assert at == 0
    assert lines == ["red: Codex waits for you (`agentbridgectl approvals`)"]


async def test_a_pause_of_the_governors_is_shown_with_its_reason(screen: Screen) -> None:
    screen.tell("bridge", **PAUSED)
    ((_, lines),) = await screen.notices()
    assert lines == ["red: paused, 20 messages in a row (`agentbridgectl resume`)"]


async def test_a_child_that_is_given_up_is_shown_once(screen: Screen) -> None:
    for state in ("BACKOFF", "FATAL", "FATAL"):
        screen.bridges.tell("child", {"name": "app-server", "state": state})
    ((_, lines),) = await screen.notices()
    assert len(lines) == 1
    assert "app-server was given up" in lines[0]
    screen.bridges.tell("child", {"name": "app-server", "state": "FATAL"})
    assert len(await screen.notices()) == 1


async def test_what_comes_close_together_is_one_notice_after_the_first(screen: Screen) -> None:
    screen.tell("approval", **ASKED)
    loop = asyncio.get_running_loop()
    for seconds in (1, 2, 3):
        loop.call_later(seconds, lambda: screen.tell("approval", **ASKED))
    loop.call_later(4, lambda: screen.tell("bridge", "blue", **PAUSED))
    (at, first), (later, second) = await screen.notices()
    assert (at, later) == (0, EVERY)
    assert [line.partition(":")[0] for line in (*first, *second)] == ["red", "red", "blue"]


async def test_what_is_settled_before_its_turn_is_not_shown(screen: Screen) -> None:
    screen.tell("bridge", **PAUSED)
    loop = asyncio.get_running_loop()
    loop.call_later(1, lambda: screen.tell("approval", id="ap-1", **ASKED))
    loop.call_later(2, lambda: screen.tell("approval", id="ap-1", **ASKED | {"state": "answered"}))
    assert len(await screen.notices()) == 1


async def test_a_child_that_runs_again_and_is_given_up_again_is_shown_again(
    screen: Screen,
) -> None:
    loop = asyncio.get_running_loop()
    for at, state in enumerate(("FATAL", "RUNNING", "FATAL")):
        facts = {"name": "proxy", "state": state}
        loop.call_later(at * 2 * EVERY, screen.bridges.tell, "child", facts)
    assert len(await screen.notices()) == 2


async def test_of_very_many_things_it_is_told_how_many(screen: Screen) -> None:
    for number in range(LINES + 3):
        screen.bridges.tell("child", {"name": f"child {number}", "state": "FATAL"})
    ((_, lines),) = await screen.notices()
    assert len(lines) == LINES
    assert "and 4 more" in lines[-1]


@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        ("approval", ASKED | {"state": "resolved"}),
        ("bridge", PAUSED | {"by": "anna"}),
        ("bridge", {"state": "active", "by": "anna", "reason": ""}),
        ("message", {"state": "accepted", "id": "ab-1"}),
        ("notice", {"kind": "paused", "text": "a secret"}),
    ],
)
async def test_what_needs_nobody_is_not_shown(
    screen: Screen, kind: str, facts: dict[str, Any]
) -> None:
    screen.tell(kind, **facts) if "kind" not in facts else screen.bridges.tell(kind, facts)
    assert await screen.notices() == []


async def test_a_person_who_wants_no_notices_gets_none(screen: Screen) -> None:
    root = screen.bridges[screen.ids["red"]].root
    screen.config = check({"bridge": {root: {"notify": {"desktop": False}}}})
    screen.tell("approval", "red", **ASKED)
    screen.tell("approval", "blue", **ASKED)
    ((_, lines),) = await screen.notices()
    assert [line.partition(":")[0] for line in lines] == ["blue"]
    screen.config = check({"notify": {"desktop": False}})
    screen.bridges.tell("child", {"name": "proxy", "state": "FATAL"})
    assert len(await screen.notices()) == 1


def script(directory: Path, name: str, what: str) -> Path:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{what}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    directory = tmp_path / "bin"
    directory.mkdir()
    return directory


@pytest.mark.realtime
@pytest.mark.parametrize("name", ["notify-send", "osascript"])
async def test_the_desktops_program_is_called_with_the_lines_as_one_argument(
    path: Path, name: str
) -> None:
    called = path / "called"
    script(path, name, f'for argument; do printf "%s\\0" "$argument"; done > {called}')
    await program({"PATH": str(path)})(["-red: a < b", "blue\x07: 2"])
    arguments = called.read_text(encoding="utf-8").split("\0")[:-1]
    *options, body = arguments
    if name == "notify-send":
        assert options == ["--app-name=agentbridge", "--", "agentbridge"]
        assert body == "-red: a &lt; b\nblue : 2"
    else:
        assert options[0] == "-e"
        assert body == "-red: a < b\nblue : 2"


@pytest.mark.realtime
async def test_secrets_of_others_do_not_reach_the_program(path: Path) -> None:
    called = path / "called"
    script(path, "notify-send", f"export > {called}")
    environment = {"PATH": str(path), "DISPLAY": ":0", "ANTHROPIC_API_KEY": "sk", "CLAUDECODE": "1"}
    await program(environment)(["red"])
    seen = called.read_text(encoding="utf-8")
    assert "DISPLAY" in seen
    assert "ANTHROPIC" not in seen
    assert "CLAUDE" not in seen


@pytest.mark.realtime
async def test_without_such_a_program_or_a_desktop_nothing_happens(path: Path) -> None:
    show = program({"PATH": str(path)})
    await show(["red"])
    script(path, "notify-send", "exit 1")
    await show(["red"])
    (path / "notify-send").write_text("no program", encoding="utf-8")
    await show(["red"])


@pytest.mark.realtime
async def test_a_program_that_does_not_end_is_ended(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desktop, "PATIENCE", 0.2)
    script(path, "notify-send", "exec /bin/sleep 600")
    async with asyncio.timeout(30):
        await program({"PATH": str(path)})(["red"])
