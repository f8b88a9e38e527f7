"""
agentbridgectl: see and steer the daemon.

Commands are loaded when they are used, so that ``status`` starts fast. Exit codes: 0 done,
1 failed or refused, 2 usage, 3 the daemon is not running, 4 it does not answer. An error is one
line on stderr that says what, why and what to do; never a traceback.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from typing import Any, NoReturn

import click

from agentbridged import __version__
from agentbridged.admin.client import TIMEOUT
from agentbridged.errors import AgentBridgeError, ConnectionLost, DaemonNotRunning, DaemonSilent

DONE, FAILED, USAGE, NOT_RUNNING, SILENT = range(5)
INTERRUPTED = 130
"""As a shell reports a program ended by SIGINT."""

_NO_ARGUMENTS: Any = getattr(click.exceptions, "NoArgsIsHelpError", ())
"""click 8.2 and later raise it with the whole help as its message."""

COMMANDS = {
    "status": "status:status",
    "bridges": "status:bridges",
    "kill": "switch:kill",
    "revive": "switch:revive",
    "pause": "switch:pause",
    "resume": "switch:resume",
    "approvals": "approvals:approvals",
    "seat": "switch:seat",
    "send": "messages:send",
    "history": "messages:history",
    "search": "messages:search",
    "explain": "messages:explain",
    "watch": "watch:watch",
    "doctor": "doctor.command:doctor",
    "logs": "logs:logs",
    "metrics": "metrics:metrics",
    "codex": "agents:codex",
    "claude": "agents:claude",
    "plugin": "plugin:plugin",
    "config": "config:config",
    "service": "service:service",
    "reload": "rpc:reload",
    "rpc": "rpc:rpc",
}
"""Where each command lives: module in ``agentbridged.ctl``, and its name there."""


class Commands(click.Group):
    """A group that imports a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table, which is the order of use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command, or return :obj:`None` for an unknown one."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command = getattr(importlib.import_module(f"agentbridged.ctl.{module}"), name)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="agentbridgectl", message="%(prog)s %(version)s")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.001, max=3600),
    default=TIMEOUT,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the daemon's answer.",
)
def cli(timeout: float) -> None:
    """
    See and steer agentbridge: live Claude Code and Codex sessions working as peers.

    BRIDGE is a bridge's id or its project's directory; without it, the current directory's.
    """


def main() -> NoReturn:
    """Run the command line, and exit."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    code = _run()
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        code = _unwritable(error)
    sys.exit(code)


def _run() -> int:
    try:
        code: Any = cli.main(prog_name="agentbridgectl", standalone_mode=False)
    except click.UsageError as error:
        if isinstance(error, _NO_ARGUMENTS):
            click.echo(error.format_message(), err=True)
            return USAGE
        return _tell(f"{error.format_message()} {_help_for(error)}", USAGE)
    except click.ClickException as error:
        return _tell(error.format_message(), FAILED)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except AgentBridgeError as error:
        return _tell(str(error), code_for(error))
    except OSError as error:
        return _unwritable(error)
    except Exception as error:  # a person never sees a traceback
        return _tell(f"a fault of its own ({type(error).__name__}: {error}); report it", FAILED)
    return code if isinstance(code, int) else DONE


def code_for(error: AgentBridgeError) -> int:
    """Return the exit code that says which kind of failure it was."""
    match error:
        case DaemonNotRunning():
            return NOT_RUNNING
        case DaemonSilent() | ConnectionLost():
            return SILENT
        case _:
            return FAILED


def _help_for(error: click.UsageError) -> str:
    path = error.ctx.command_path if error.ctx is not None else "agentbridgectl"
    return f"See `{path} --help`."


def _tell(text: str, code: int) -> int:
    line = " ".join(text.split())
    with contextlib.suppress(OSError):
        click.echo(f"agentbridgectl: {line}", err=True)
    return code


def _unwritable(error: OSError) -> int:
    """Deal with an output that is closed or full; what is still buffered goes nowhere."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if isinstance(error, BrokenPipeError):
        return FAILED  # nobody reads on, as after `| head`: nothing to tell, and nobody
    where = f" ({error.filename})" if error.filename else ""
    return _tell(f"the system refused: {error.strerror or error}{where}", FAILED)
