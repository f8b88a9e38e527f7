import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.sync.server import ServerConnection, unix_serve

from agentbridged.ctl.doctor.live import live
from agentbridged.errors import DaemonSilent
from agentbridged.paths import Paths, from_environment

pytestmark = pytest.mark.realtime


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return from_environment({"HOME": str(tmp_path), "AGENTBRIDGE_RUNTIME_DIR": str(tmp_path)})


@contextmanager
def serving(path: Path, heard: list[str], *, refuses: bool = False) -> Iterator[None]:
    def talk(connection: ServerConnection) -> None:
        for text in connection:
            message = json.loads(text)
            heard.append(message["method"])
            if "id" in message:
                connection.send(json.dumps({"method": "remoteControl/status/changed"}))
                answer = {"error": {"code": -1, "message": "no"}} if refuses else {"result": {}}
                connection.send(json.dumps({"id": message["id"], **answer}))

    with unix_serve(talk, str(path)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join(10)


def test_each_line_is_used_once_and_nothing_is_sent(paths: Paths) -> None:
    asked: list[str] = []
    to_claude: list[str] = []
    to_codex: list[str] = []
    with serving(paths.claude_socket, to_claude), serving(paths.codex_socket, to_codex):
        found = live(paths, lambda: asked.append("status"))
    assert [f.state for f in found] == ["ok", "ok", "ok", "skipped"]
    assert asked == ["status"]
    assert to_claude == []
    assert to_codex == ["initialize", "initialized", "thread/loaded/list"]


def test_a_broken_line_is_told_and_the_others_are_tried(paths: Paths) -> None:
    def silent() -> object:
        raise DaemonSilent("no answer within 10 s")

    with serving(paths.codex_socket, [], refuses=True):
        found = live(paths, silent)
    assert [f.state for f in found] == ["fail", "fail", "fail", "skipped"]
    assert "no answer within 10 s" in found[0].what
    assert "initialize: no" in found[2].what
    assert all(f.remedy for f in found[:3])
