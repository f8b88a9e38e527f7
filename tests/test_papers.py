"""The papers tell the truth: what they name exists, and what exists is named."""

import enum
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from agentbridged import __version__

ROOT = Path(__file__).parent.parent
PAPERS = sorted(ROOT.glob("*.md"))
ARCHITECTURE = ROOT / "ARCHITECTURE.md"
README = ROOT / "README.md"
CHANGELOG = ROOT / "CHANGELOG.md"
MACHINES = sorted((ROOT / "agentbridged" / "machines").glob("[!_]*.py"))


def block(paper: Path, name: str) -> list[str]:
    """Return the lines of the code block that follows the mark ``<!-- name -->``."""
    text = paper.read_text(encoding="utf-8")
    found = re.search(rf"<!-- {name} -->\n```\n(.*?)\n```", text, re.S)
    assert found, f"{paper.name} has no block <!-- {name} -->"
    return found[1].splitlines()


def tree() -> Iterator[str]:
    """Yield the paths of ARCHITECTURE's tree; a deeper indent is inside what stands above it."""
    above: list[str] = []
    for line in block(ARCHITECTURE, "tree"):
        indent = (len(line) - len(line.lstrip())) // 2
        above = [*above[:indent], line.split()[0]]
        yield "".join(above)


@pytest.mark.parametrize("path", list(tree()))
def test_what_the_tree_names_is_there(path: str) -> None:
    assert (ROOT / path).is_dir() if path.endswith("/") else (ROOT / path).is_file()


def test_every_module_is_in_the_tree() -> None:
    modules = (ROOT / "agentbridged").rglob("*.py")
    there = {str(p.relative_to(ROOT)) for p in modules if p.name != "__init__.py"}
    assert there - set(tree()) == set()


def test_every_line_of_the_tree_says_what_it_is_for() -> None:
    lines = block(ARCHITECTURE, "tree")[1:]
    assert [line for line in lines if len(line.split(maxsplit=1)) < 2] == []


def name_of(state: object) -> str:
    match state:
        case enum.Enum():
            return state.name
        case type():
            return state.__name__
        case _:
            return str(state)


def moves_in_code() -> dict[str, dict[str, set[str]]]:
    tables = {}
    for path in MACHINES:
        module = importlib.import_module(f"agentbridged.machines.{path.stem}")
        if table := getattr(module, "TRANSITIONS", None):
            tables[path.stem] = {name_of(a): {name_of(b) for b in to} for a, to in table.items()}
    return tables


def moves_on_paper() -> dict[str, dict[str, set[str]]]:
    tables: dict[str, dict[str, set[str]]] = {}
    for line in block(ARCHITECTURE, "moves"):
        if not line.startswith(" "):
            table = tables.setdefault(line, {})
            continue
        state, _, onward = line.partition(" ──▶ ")
        table[state.strip()] = {to.strip() for to in onward.split("·")} - {"(end)"}
    return tables


def test_the_machines_moves_are_drawn_as_they_are() -> None:
    assert moves_on_paper() == moves_in_code()


@pytest.mark.parametrize("path", MACHINES, ids=lambda p: p.stem)
def test_architecture_says_what_each_machine_decides(path: Path) -> None:
    assert f"\n| `{path.stem}` |" in ARCHITECTURE.read_text(encoding="utf-8")


def shown_commands() -> list[str]:
    """Return every ``agentbridgectl …`` that README shows, up to where its arguments begin."""
    text = README.read_text(encoding="utf-8")
    code = re.findall(r"`([^`\n]+)`", text)
    code += [
        line for part in re.findall(r"```sh\n(.*?)```", text, re.S) for line in part.split("\n")
    ]
    shown = (re.search(r"\bagentbridgectl((?: [a-z]+(?=\s|$))+)", line) for line in code)
    return sorted({found[1].strip() for found in shown if found})


def planned(command: str) -> bool:
    """Whether README itself says, on the line that shows it, that the command is not there yet."""
    lines = README.read_text(encoding="utf-8").splitlines()
    shown = [line for line in lines if f"agentbridgectl {command}" in line]
    return all("(planned)" in line for line in shown)


@pytest.mark.parametrize("command", shown_commands())
def test_every_command_that_the_readme_shows_exists(command: str) -> None:
    from agentbridged.ctl.main import cli

    there: click.Command = cli
    for word in command.split():
        if not isinstance(there, click.Group):
            break  # what follows is an argument
        inner = there.get_command(click.Context(there), word)
        assert inner or planned(command), f"agentbridgectl has no {command!r}"
        if inner is None:
            return
        there = inner


def test_the_readme_shows_commands_at_all() -> None:
    assert {"status", "kill", "revive", "send", "history", "explain"} <= {
        command.split()[0] for command in shown_commands()
    }


def anchors(paper: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", paper.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links() -> Iterator[tuple[str, str]]:
    for paper in PAPERS:
        for target in re.findall(r"\]\(([^)\s]+)\)", paper.read_text(encoding="utf-8")):
            if not re.match(r"[a-z]+:", target):
                yield paper.name, target


@pytest.mark.parametrize(("paper", "target"), list(links()))
def test_every_link_inside_the_project_resolves(paper: str, target: str) -> None:
    path, _, anchor = target.partition("#")
    found = ROOT / (path or paper)
    assert found.exists()
    assert not anchor or anchor in anchors(found)


def test_the_verbs_of_make_that_the_papers_name_exist() -> None:
    made = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    for paper in PAPERS:
        named = set(re.findall(r"(?:`|^)make ([a-z]+)", paper.read_text(encoding="utf-8"), re.M))
        assert named <= made, paper.name


def test_the_changelog_knows_this_version() -> None:
    text = CHANGELOG.read_text(encoding="utf-8")
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d$", text, re.M)
    assert "## [Unreleased]" in text
    if released:
        assert released[0] == __version__
    else:
        assert f"This will be {__version__}" in text


def test_the_papers_say_nothing_of_a_todo() -> None:
    for paper in PAPERS:
        assert "TODO" not in paper.read_text(encoding="utf-8"), paper.name
