"""What we read and write of Codex's protocol, held to the schema that Codex itself prints."""

from __future__ import annotations

import ast
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from agentbridged.wire import codex
from tests.lab import agents
from tests.lab.scripted import Json

SIDE = Path(codex.__file__).parent.parent / "codex"


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Json:
    """The schemas of requests, notifications, questions and answers, by name."""
    home = tmp_path_factory.mktemp("codex")
    verb = ["app-server", "generate-json-schema", "--experimental", "--out"]
    subprocess.run(
        [str(agents.codex_binary()), *verb, str(home / "schema")],
        env={"PATH": "/usr/bin:/bin", "HOME": str(home), "CODEX_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        check=True,
        timeout=120,
    )
    files = sorted((home / "schema").rglob("*.json"))
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}


def params_of(schema: Json, kind: str, method: str) -> Json:
    """Return the schema of a method's params; fails when Codex does not know the method."""
    known = {one["properties"]["method"]["enum"][0]: one for one in schema[kind]["oneOf"]}
    assert method in known, f"{kind} has no {method}"
    name = known[method]["properties"]["params"]["$ref"].rpartition("/")[2]
    params: Json = schema[kind]["definitions"][name]
    return params


def calls() -> Iterator[tuple[str, set[str] | None, str]]:
    """Give every call we make: its method, the params' names where they are told, its result."""
    for path in sorted(SIDE.glob("*.py")):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.AsyncFunctionDef):
                yield from calls_in(function)


def calls_in(function: ast.AsyncFunctionDef) -> Iterator[tuple[str, set[str] | None, str]]:
    dicts: dict[str, ast.expr] = {
        target.id: node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(function):
        match node:
            case ast.Call(
                func=ast.Attribute(attr="call"),
                args=[ast.Constant(value=str(method)), given, kind],
            ):
                params = dicts.get(given.id) if isinstance(given, ast.Name) else given
                names = params_named(params) if isinstance(params, ast.Dict) else None
                yield method, names, kind.attr if isinstance(kind, ast.Attribute) else ""
            case _:
                pass


def params_named(params: ast.Dict) -> set[str]:
    return {str(key.value) for key in params.keys if isinstance(key, ast.Constant)}


CALLS = sorted({(method, tuple(sorted(n or ())), kind) for method, n, kind in calls()})


def test_our_calls_were_found() -> None:
    assert {"initialize", "thread/queue/add", "turn/steer"} <= {method for method, *_ in CALLS}


@pytest.mark.parametrize(("method", "names", "kind"), CALLS)
def test_codex_knows_what_we_call_and_takes_what_we_give(
    schema: Json, method: str, names: tuple[str, ...], kind: str
) -> None:
    params = params_of(schema, "ClientRequest", method)
    assert set(names) <= set(params["properties"])
    if names:
        assert set(params.get("required", [])) <= set(names)


@pytest.mark.parametrize(("method", "names", "kind"), [call for call in CALLS if call[2]])
def test_codex_answers_with_what_we_read(
    schema: Json, method: str, names: tuple[str, ...], kind: str
) -> None:
    name = "".join(part[0].upper() + part[1:] for part in method.split("/")) + "Response"
    assert fields(getattr(codex, kind)) <= set(schema[name]["properties"])


@pytest.mark.parametrize("method", sorted(codex._EVENTS))
def test_codex_notifies_what_we_hear(schema: Json, method: str) -> None:
    params = params_of(schema, "ServerNotification", method)
    assert fields(codex._EVENTS[method]) <= set(params["properties"])


@pytest.mark.parametrize("kind", [codex.Thread, codex.Turn])
def test_codex_shapes_threads_and_turns_as_we_read_them(
    schema: Json, kind: type[msgspec.Struct]
) -> None:
    shape = schema["ServerNotification"]["definitions"][kind.__name__]
    assert fields(kind) <= set(shape["properties"])


@pytest.mark.parametrize(
    ("item", "names"),
    [("userMessage", {"clientId", "content"}), ("agentMessage", {"text", "phase"})],
)
def test_codex_shapes_what_is_said_as_we_read_it(schema: Json, item: str, names: set[str]) -> None:
    kinds = schema["ServerNotification"]["definitions"]["ThreadItem"]["oneOf"]
    (shape,) = [k for k in kinds if k["properties"]["type"]["enum"] == [item]]
    assert names | {"id", "type"} <= set(shape["properties"])


@pytest.mark.parametrize("flag", ["waitingOnApproval", "waitingOnUserInput"])
def test_codex_names_its_waits_as_we_do(schema: Json, flag: str) -> None:
    flags = schema["ServerNotification"]["definitions"]["ThreadActiveFlag"]["enum"]
    assert flag in flags
    assert codex.waiting_on(codex.ThreadStatus("active", [flag])) in get_args(codex.Waiting)


@pytest.mark.parametrize("method", codex.QUIET)
def test_codex_has_the_notifications_we_ask_not_to_be_sent(schema: Json, method: str) -> None:
    params_of(schema, "ServerNotification", method)


@pytest.mark.parametrize(
    "method",
    [
        "item/commandExecution/requestApproval",
        "item/fileChange/requestApproval",
        "item/permissions/requestApproval",
        "item/tool/requestUserInput",
        "mcpServer/elicitation/request",
    ],
)
def test_codex_asks_what_we_can_put_into_words(schema: Json, method: str) -> None:
    assert "threadId" in params_of(schema, "ServerRequest", method)["properties"]


def fields(kind: type[msgspec.Struct]) -> set[str]:
    """Return the members that we read."""
    return set(kind.__struct_fields__)


def values(shape: Json) -> set[str]:
    """Return the values of an enumeration, plain or with a description for each."""
    plain = shape.get("enum", [])
    return {*plain, *(value for one in shape.get("oneOf", []) for value in one.get("enum", []))}


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("TurnStatus", {"completed", "interrupted", "failed", "inProgress"}),
        ("MessagePhase", {"commentary", "partial_answer", "final_answer"}),
        ("CommandExecutionStatus", {"inProgress", "completed", "failed", "declined"}),
        ("PatchApplyStatus", {"inProgress", "completed", "failed", "declined"}),
    ],
)
def test_codex_has_no_other_word_than_those_we_decide_by(
    schema: Json, name: str, known: set[str]
) -> None:
    assert values(schema["ServerNotification"]["definitions"][name]) == known


def test_a_thread_is_in_no_other_state_than_those_we_know(schema: Json) -> None:
    shapes = schema["ServerNotification"]["definitions"]["ThreadStatus"]["oneOf"]
    types = {shape["properties"]["type"]["enum"][0] for shape in shapes}
    assert types == {"notLoaded", "idle", "systemError", "active"}
    (active,) = [shape for shape in shapes if "activeFlags" in shape["properties"]]
    assert active["properties"]["type"]["enum"] == ["active"]


@pytest.mark.parametrize(
    ("name", "ours"), [("TurnItemsView", {"notLoaded", "full"}), ("SortDirection", {"desc"})]
)
def test_codex_takes_the_words_by_which_we_ask(schema: Json, name: str, ours: set[str]) -> None:
    assert ours <= values(schema["ClientRequest"]["definitions"][name])


def test_codex_shapes_its_queue_as_we_read_it(schema: Json) -> None:
    for answer in ("ThreadQueueAddResponse", "ThreadQueueListResponse"):
        entry = schema[answer]["definitions"]["QueuedSubmission"]
        assert fields(codex.Queued) <= set(entry["properties"])


def test_codex_introduces_itself_and_takes_how_we_do(schema: Json) -> None:
    assert fields(codex.Initialized) <= set(schema["InitializeResponse"]["properties"])
    definitions = schema["ClientRequest"]["definitions"]
    ours = codex.initialize("0")
    assert set(ours["clientInfo"]) <= set(definitions["ClientInfo"]["properties"])
    assert set(ours["capabilities"]) <= set(definitions["InitializeCapabilities"]["properties"])


def test_codex_takes_text_as_we_give_it(schema: Json) -> None:
    kinds = schema["ClientRequest"]["definitions"]["UserInput"]["oneOf"]
    (text,) = [k for k in kinds if k["properties"]["type"].get("enum") == ["text"]]
    assert set(codex.text_input("x")[0]) == set(text["properties"])


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("item/commandExecution/requestApproval", "CommandExecutionRequestApprovalResponse"),
        ("item/fileChange/requestApproval", "FileChangeRequestApprovalResponse"),
        ("item/permissions/requestApproval", "PermissionsRequestApprovalResponse"),
        ("mcpServer/elicitation/request", "McpServerElicitationRequestResponse"),
    ],
)
def test_codex_takes_the_answers_that_a_person_may_give(
    schema: Json, method: str, answer: str
) -> None:
    assert codex.verdict(method, {}, allow=False) is not None
    for allow in (True, False):
        ours = codex.verdict(method, {}, allow=allow)
        if ours is None:
            continue
        shape = schema[answer]
        assert set(ours) <= set(shape["properties"])
        assert set(shape.get("required", [])) <= set(ours)
        if "decision" in ours:
            name = shape["properties"]["decision"]["$ref"].rpartition("/")[2]
            assert ours["decision"] in values(shape["definitions"][name])
