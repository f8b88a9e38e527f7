"""The table of requirements and the tests that name its rows, held to each other."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.requirements import REQUIREMENTS

HERE = Path(__file__).parent
MARKER = "pytest.mark.requirement"


def named() -> Iterator[tuple[str, str]]:
    """Give every id that a test or a module of tests names, with where; from the source alone."""
    for path in sorted(HERE.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == MARKER:
                for argument in node.args:
                    yield ast.literal_eval(argument), f"{path.relative_to(HERE)}:{node.lineno}"


NAMED = list(named())


@pytest.mark.parametrize("id", REQUIREMENTS)
def test_every_requirement_has_a_test_that_names_it(id: str) -> None:
    assert id in {known for known, _ in NAMED}, REQUIREMENTS[id].sentence


def test_every_name_a_test_gives_is_a_requirement() -> None:
    assert [(id, where) for id, where in NAMED if id not in REQUIREMENTS] == []


def test_every_requirement_is_filed_under_its_own_id_and_says_where_it_comes_from() -> None:
    for id, requirement in REQUIREMENTS.items():
        assert requirement.id == id
        assert requirement.sentence.endswith(".")
        assert requirement.source
