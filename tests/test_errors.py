"""Errors are one tree, and speak to the person."""

import inspect

import pytest

from agentbridged import errors
from agentbridged.errors import (
    AgentBridgeError,
    AlreadyRunning,
    CodexError,
    CodexLacks,
    ConfigError,
    ProtocolError,
    Refused,
    UnknownBridge,
    UnknownMessage,
)

ALL = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]


def drawn() -> dict[str, str]:
    """Read the tree out of the module's docstring: each name, and what it hangs on."""
    parents: dict[str, str] = {}
    trail: list[tuple[int, str]] = []
    assert errors.__doc__ is not None
    for line in errors.__doc__.splitlines():
        name = line.strip("│├└─ ").partition(" ")[0]
        if not name or not hasattr(errors, name):
            continue
        depth = line.index(name)
        while trail and trail[-1][0] >= depth:
            trail.pop()
        if trail:
            parents[name] = trail[-1][1]
        trail.append((depth, name))
    return parents


def test_the_drawing_is_the_tree() -> None:
    assert drawn() == {
        kind.__name__: kind.__bases__[0].__name__ for kind in ALL if kind is not AgentBridgeError
    }


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConfigError("governor.max_hops", "is no number"), "governor.max_hops: is no number"),
        (UnknownBridge("x"), "no bridge 'x'; `agentbridgectl bridges` lists them"),
        (UnknownMessage("ab-1"), "no message 'ab-1'; `agentbridgectl history` lists them"),
        (AlreadyRunning(42), "agentbridged is already running as pid 42"),
        (CodexError(-32001, "overloaded"), "overloaded"),
        (CodexLacks(-32601, "no such method"), "no such method"),
        (ProtocolError("id: missing"), "id: missing"),
    ],
)
def test_each_says_it_in_one_line(error: AgentBridgeError, text: str) -> None:
    assert str(error) == text


def test_blame_and_facts_are_in_the_error() -> None:
    assert ConfigError("relay", "x").field == "relay"
    assert ProtocolError("x").code == -32600
    assert ProtocolError("x", code=-32602).code == -32602
    assert Refused("x").kind == "refused"
    assert (UnknownBridge("x").kind, UnknownMessage("x").kind) == (
        *("unknown_bridge", "unknown_message"),
    )
    assert AlreadyRunning(42).pid == 42
    assert CodexError(-32001, "x").code == -32001
