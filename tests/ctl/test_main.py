"""The command line as a whole: exit codes, one-line errors, no traceback, a fast start."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import click
import pytest

from agentbridged import __version__, errors
from agentbridged.ctl.main import COMMANDS, cli, code_for
from tests.admin.desk import served
from tests.ctl.shell import BOUND, Shell

pytestmark = pytest.mark.realtime
DATA = [
    *(("status",), ("bridges",), ("kill",), ("revive",), ("pause",), ("resume",)),
    *(("seat", "release"), ("send", "x"), ("history",), ("search", "x"), ("explain", "ab-1")),
    *(("reload",), ("rpc", "status"), ("watch",)),
]


@pytest.mark.parametrize("arguments", DATA, ids=" ".join)
async def test_without_a_daemon_every_command_says_so_and_how_to_start_it(
    shell: Shell, arguments: tuple[str, ...]
) -> None:
    done = await shell.ctl(*arguments)
    assert (done.code, done.out) == (3, "")
    assert done.err == (
        f"agentbridgectl: the daemon is not running (nothing listens on "
        f"{shell.runtime}/admin.sock); start it with `agentbridgectl service start`, "
        "or run `agentbridged`\n"
    )


async def test_a_daemon_that_does_not_answer_is_another_code(shell: Shell) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(shell.runtime / "admin.sock"))
        listener.listen()
        done = await shell.ctl("--timeout", "0.1", "status")
    assert done.code == 4
    assert "does not answer (waited 0.1 s" in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        *(("nonsense",), ("send",), ("status", "--colour"), ("kill", "a", "b"), ("explain",)),
        *(("kill", "--all", "x"), ("history", "-n", "0"), ("send", "--to", "all", "x")),
        *(("rpc", "status", "{"), ("rpc", "status", "[]"), ("--timeout", "0", "status")),
        *(("send", ""), ("send", "  "), ("send", "-"), ("history", "--all", "--bridge", "x")),
        ("config", "get", "a b"),
    ],
    ids=" ".join,
)
async def test_a_typing_error_is_told_in_a_line_before_anybody_is_asked(
    shell: Shell, arguments: tuple[str, ...]
) -> None:
    done = await shell.ctl(*arguments)
    assert (done.code, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert line.startswith("agentbridgectl: ")
    assert "--help`." in line


async def test_without_a_command_the_help_is_shown(shell: Shell) -> None:
    done = await shell.ctl()
    assert done.code == 2
    assert "See and steer agentbridge" in done.err
    done = await shell.ctl("-h")
    assert done.code == 0
    assert all(name in done.out for name in COMMANDS)


async def test_the_version_is_told(shell: Shell) -> None:
    done = await shell.ctl("--version")
    assert (done.code, done.out) == (0, f"agentbridgectl {__version__}\n")


def test_every_command_loads_and_has_a_help_text() -> None:
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert command.get_short_help_str()
    assert cli.get_command(context, "nonsense") is None


async def test_a_closed_output_ends_quietly(shell: Shell) -> None:
    async with served(shell.runtime) as desk:
        desk.ensure_bridge(str(shell.project))
        reader, writer = os.pipe()
        os.close(reader)
        process = await shell.start("status", stdout=writer)
        os.close(writer)
        _, err = await asyncio.wait_for(process.communicate(), BOUND)
    assert (process.returncode, err) == (1, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
async def test_a_full_output_is_told(shell: Shell) -> None:
    async with served(shell.runtime):
        full = os.open("/dev/full", os.O_WRONLY)
        process = await shell.start("status", stdout=full)
        os.close(full)
        _, err = await asyncio.wait_for(process.communicate(), BOUND)
    assert (process.returncode, err.decode()) == (
        *(1, "agentbridgectl: the system refused: No space left on device\n"),
    )


async def test_ctrl_c_ends_quietly_while_it_waits_for_the_daemon(shell: Shell) -> None:
    accepted = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        accepted.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(accept, str(shell.runtime / "admin.sock"))
    async with server:
        process = await shell.start("--timeout", "300", "status")
        await asyncio.wait_for(accepted.wait(), BOUND)
        process.send_signal(signal.SIGINT)
        out, err = await asyncio.wait_for(process.communicate(), BOUND)
    assert (process.returncode, out, err.strip()) == (130, b"", b"")


async def test_a_directory_that_is_gone_is_told(shell: Shell) -> None:
    program = (
        "import os; from agentbridged.ctl.main import main; os.rmdir(os.getcwd());"
        "import sys; sys.argv = ['agentbridgectl', 'history']; main()"
    )
    gone = shell.home / "gone"
    gone.mkdir()
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", program],
        cwd=gone,
        env=shell.environment,
        capture_output=True,
        text=True,
        timeout=BOUND,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "agentbridgectl: the current directory is gone; cd to another one\n"


async def test_a_relative_runtime_directory_names_the_variable(shell: Shell) -> None:
    shell.more = {"AGENTBRIDGE_RUNTIME_DIR": "run"}
    done = await shell.ctl("status")
    assert done.code == 1
    assert "AGENTBRIDGE_RUNTIME_DIR: 'run' is not an absolute path" in done.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.DaemonNotRunning("x"), 3),
        (errors.DaemonSilent("x"), 4),
        (errors.ConnectionLost("x"), 4),
        (errors.UnknownBridge("x"), 1),
        (errors.Refused("x"), 1),
        (errors.Unavailable("x"), 1),
        (errors.ProtocolError("x"), 1),
    ],
)
def test_each_kind_of_failure_has_its_code(error: errors.AgentBridgeError, code: int) -> None:
    assert code_for(error) == code


def test_a_quick_look_loads_neither_the_daemon_nor_other_commands() -> None:
    program = (
        "import sys; from agentbridged.ctl import main, status;print(*(m for m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert "agentbridged.ctl.status" in loaded
    heavy = {"asyncio", "websockets", "psutil", "sqlite3", "tomllib", "logging", "subprocess"}
    assert loaded.isdisjoint(heavy | {"agentbridged.store", "agentbridged.ctl.messages"})
