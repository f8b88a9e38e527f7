import inspect

import pytest

from agentbridged.bridges.ledger import Ledger
from agentbridged.codex.owner import Owner
from tests.codex.memory import Memory

ASKED = [name for name, _ in inspect.getmembers(Owner, inspect.isfunction) if name[0] != "_"]


@pytest.mark.parametrize("kind", [Ledger, Memory])
@pytest.mark.parametrize("name", ASKED)
def test_an_owner_takes_what_the_side_gives(kind: type, name: str) -> None:
    wanted = inspect.signature(getattr(Owner, name)).parameters
    assert inspect.signature(getattr(kind, name)).parameters.keys() == wanted.keys()
