"""Bad input on every door gets a clear answer or a clean end, and the daemon serves on."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed

from tests.lab import doors, processes
from tests.lab.world import World

ATTACH_FIRST = 4005
TOO_BIG = 1009
HUGE = 24 * 1024 * 1024


@pytest.fixture(autouse=True)
def _served_on(world: World) -> Iterator[None]:
    """After each test the same daemon still answers, and has shown nobody a traceback."""
    daemon = world.daemon
    assert daemon
    yield
    assert world.daemon is daemon
    assert daemon.poll() is None, world.report()
    assert world.status()["pid"] == daemon.pid
    assert "Traceback" not in world.daemon_log_path.read_text(encoding="utf-8"), world.report()


# admin.sock


@pytest.mark.parametrize(
    ("line", "code", "word"),
    [
        (b"garbage\n", -32700, "JSON"),
        (b'{"jsonrpc":"2.0","id":1,"meth', -32700, "JSON"),
        (b'{"jsonrpc":"2.0","id":1,"method":"\xff\xfe"}\n', -32700, "JSON"),
        (b"[1,2,3]\n", -32600, "JSON-RPC"),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"status"}\n', -32600, "id"),
        (b'{"jsonrpc":"1.0","id":1,"method":"status"}\n', -32600, "jsonrpc"),
        (b'{"jsonrpc":"2.0","id":1,"method":"nonsense"}\n', -32601, "nonsense"),
        (b'{"jsonrpc":"2.0","id":1,"method":"status","params":[1]}\n', -32602, "params"),
        (
            b'{"jsonrpc":"2.0","id":1,"method":"message.list","params":{"limit":"x"}}\n',
            -32602,
            "limit",
        ),
        (
            b'{"jsonrpc":"2.0","id":1,"method":"message.list","params":{"limti":1}}\n',
            -32602,
            "limti",
        ),
        (b'{"id":1,"method":"status","params":' + b"[" * 200_000 + b"\n", -32700, "JSON"),
        (b"x" * HUGE + b"\n", -32600, "bytes"),
    ],
    ids=[
        *("garbage", "truncated", "not utf-8", "an array", "a fraction as id", "another version"),
        *("no such verb", "params of a wrong kind", "a param of a wrong type", "a misspelt param"),
        *("deep", "huge"),
    ],
)
def test_admin_answers_a_bad_line_with_what_is_wrong(
    world: World, line: bytes, code: int, word: str
) -> None:
    answer = json.loads(doors.reply_to(world.admin_socket, line))
    assert answer["error"]["code"] == code
    assert word in answer["error"]["message"]
    assert "\n" not in answer["error"]["message"]


def test_admin_serves_a_connection_on_after_a_bad_line(world: World) -> None:
    good = b'{"jsonrpc":"2.0","id":2,"method":"status"}\n'
    answers = doors.reply_to(world.admin_socket, b"garbage\n" + good).splitlines()
    assert ["error" in json.loads(answer) for answer in answers] == [True, False]


def test_admin_is_open_to_others_while_many_connections_say_nothing(world: World) -> None:
    with contextlib.ExitStack() as silent:
        for _ in range(100):
            silent.enter_context(doors.knock(world.admin_socket))
        assert world.status()["state"]


# claude.sock


@pytest.mark.parametrize(
    "frame",
    [
        "garbage",
        "[]",
        b"\x00\x01binary",
        '{"jsonrpc":"2.0","id":1,"method":"send","params":{"text":"x"}}',
        '{"jsonrpc":"2.0","id":1,"method":"attach","params":{"contract":1}}',
        '{"jsonrpc":"2.0","id":1,"method":"attach","params":{"contract":"1","project_dir":7}}',
        '{"jsonrpc":"2.0","id":1,"method":"attach","params":{"contract":1,"project_dir":"/",'
        '"claude_pid":-4}}',
    ],
    ids=[
        *("garbage", "an array", "binary", "send before attach", "attach without a project"),
        *("attach of wrong types", "a negative pid"),
    ],
)
def test_claude_sock_closes_what_is_malformed_or_not_attached(
    world: World, frame: str | bytes
) -> None:
    with doors.session(world.runtime / "claude.sock") as stranger:
        stranger.send(frame)
        code, reason = doors.closing_of(stranger)
    assert code == ATTACH_FIRST
    assert reason


def test_claude_sock_closes_another_contract_with_4004(world: World) -> None:
    with doors.session(world.runtime / "claude.sock") as stranger:
        params = {"contract": 99, "project_dir": str(world.project), "claude_pid": 1}
        stranger.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "attach", "params": params}))
        code, _ = doors.closing_of(stranger)
    assert code == 4004


def test_claude_sock_does_not_take_a_huge_frame_in(world: World) -> None:
    with doors.session(world.runtime / "claude.sock") as stranger:
        with contextlib.suppress(ConnectionClosed):
            stranger.send("x" * HUGE)
        code, _ = doors.closing_of(stranger)
    assert code in (TOO_BIG, ATTACH_FIRST)


@pytest.mark.parametrize(
    "data",
    [
        b"garbage\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff" * 100_000,
        doors.upgrade_request() + b"\x81\x05abc",
        doors.upgrade_request() + b"\xff\xff\xff\xff",
        doors.upgrade_request() + b"\x81\x84abcd\xff\xfe\xfd\xfc",
    ],
    ids=["no http", "no upgrade", "noise", "unmasked", "reserved bits", "not utf-8"],
)
@pytest.mark.parametrize("door", ["claude.sock", "codex.sock"])
def test_a_websocket_door_ends_what_is_no_websocket(world: World, door: str, data: bytes) -> None:
    doors.reply_to(world.runtime / door, data)
    assert world.status()["state"]


@pytest.mark.parametrize("door", ["claude.sock", "codex.sock", "admin.sock"])
def test_a_door_survives_callers_that_leave_at_once(world: World, door: str) -> None:
    for _ in range(200):
        with doors.knock(world.runtime / door):
            pass
    assert world.status()["state"]


@pytest.mark.parametrize("door", ["claude.sock", "codex.sock", "admin.sock", "proxy.sock"])
def test_a_door_is_for_its_owner_only(world: World, door: str) -> None:
    path = world.runtime / door
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_the_proxy_serves_on_beside_a_half_open_handshake(world: World) -> None:
    with doors.knock(world.runtime / "codex.sock") as half:
        half.sendall(b"GET / HTTP/1.1\r\nHost: local")
        with doors.knock(world.runtime / "codex.sock") as whole:
            whole.sendall(doors.upgrade_request())
            assert whole.recv(12) == b"HTTP/1.1 101"


# the shim's stdin


def test_the_shim_answers_garbage_and_goes_on(world: World) -> None:
    lines = [
        b"garbage",
        b"\xff\xfe",
        b"[1]",
        b'{"jsonrpc":"2.0","id":true,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":"s","method":"nonsense"}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping"}',
    ]
    shim = subprocess.run(
        [str(world.home / "bin" / "agentbridge-mcp")],
        input=b"\n".join(lines) + b"\n",
        env=world.environment | {"CLAUDE_PROJECT_DIR": str(world.home / "elsewhere")},
        cwd=world.home,
        capture_output=True,
        check=False,
        timeout=60,
    )
    answers = [json.loads(line) for line in shim.stdout.splitlines()]
    assert [a["id"] for a in answers if "result" in a] == [1]
    assert [a["id"] for a in answers if a.get("error", {}).get("code") == -32601] == ["s"]
    assert b"Traceback" not in shim.stderr
    assert shim.returncode == 0


# configuration


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("relay = 7\n", "relay"),
        ("relay = 'everything'\n", "relay"),
        ("[governor]\nmax_hops = 'many'\n", "max_hops"),
        ("[history]\nkeep_days = -1\n", "keep_days"),
        ("not toml at all", "config.toml"),
        ("[bridge.\"relative\"]\nrelay = 'all'\n", "relative"),
    ],
    ids=["a number", "an unknown word", "a word for a number", "negative", "not toml", "a root"],
)
def test_a_bad_config_is_refused_by_name_and_the_old_one_stays(
    world: World, text: str, word: str
) -> None:
    world.config_file.parent.mkdir(parents=True, exist_ok=True)
    world.config_file.write_text(text, encoding="utf-8")
    try:
        answer = doors.ask(world.admin_socket, "config.reload")
        assert word in answer["error"]["message"]
        by_hand = world.ctl("reload")
        assert by_hand.returncode == 1
        assert len(by_hand.stderr.strip().splitlines()) == 1
    finally:
        world.config_file.unlink()
    assert "result" in doors.ask(world.admin_socket, "config.reload")


# what the kernel says


def test_no_tcp_port_is_listened_on(world: World) -> None:
    status = world.status()
    pids = world.product_pids()
    assert {status["pid"], status["proxy"]["pid"], status["app_server"]["pid"]} <= set(pids)
    assert world.tcp_listeners() == []


def test_the_check_for_listening_ports_sees_one(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)):
        assert processes.tcp_listeners([os.getpid()])
