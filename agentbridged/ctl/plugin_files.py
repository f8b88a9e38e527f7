"""
The Claude Code plugin's files: rendered here, and nowhere else.

The package ships a marketplace directory (``agentbridged/plugin``) whose manifests name the program
by its bare name; an installation gets a copy whose manifests name it by an absolute path, since
Claude Code's PATH need not have it. ``python -m agentbridged.ctl.plugin_files`` writes the shipped
one anew, with ``--check`` it only tells what differs (status 1).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agentbridged import __doc__ as SUMMARY
from agentbridged import __version__
from agentbridged.wire.mcp import TURN_ENDED, TurnEnded

NAME = "agentbridge"
"""Of the marketplace, of the plugin in it, and of the plugin's MCP server."""
PROGRAM = "agentbridge-mcp"
HOOK_TIMEOUT = 15
"""Seconds; the answer takes milliseconds, or three seconds when a message shows no sign."""
SHIPPED = Path(__file__).parent.parent / "plugin"
_SUMMARY = (SUMMARY or "").strip().partition(": ")[2]
_DESCRIPTION = _SUMMARY[:1].upper() + _SUMMARY[1:]


def rendered(command: Sequence[str]) -> dict[str, str]:
    """Render the manifests: path below the marketplace directory → text."""
    about = {"name": NAME, "description": _DESCRIPTION, "version": __version__}
    server = {"command": command[0], "args": list(command[1:]), "alwaysLoad": True}
    manifests: dict[str, Any] = {
        ".claude-plugin/marketplace.json": {
            "name": NAME,
            "owner": {"name": NAME},
            "metadata": {"description": _DESCRIPTION, "version": __version__},
            "plugins": [{**about, "source": f"./{NAME}"}],
        },
        f"{NAME}/.claude-plugin/plugin.json": {
            **about,
            "author": {"name": NAME},
            "license": "MIT",
        },
        f"{NAME}/.mcp.json": {"mcpServers": {NAME: server}},
        f"{NAME}/hooks/hooks.json": {"hooks": {"Stop": [{"hooks": [_turn_ended()]}]}},
    }
    return {path: json.dumps(content, indent=2) + "\n" for path, content in manifests.items()}


def _turn_ended() -> dict[str, Any]:
    """Return the hook that tells a turn's end to the plugin's own server, by its full name."""
    return {
        "type": "mcp_tool",
        "server": f"plugin:{NAME}:{NAME}",
        "tool": TURN_ENDED,
        "input": {field: f"${{{field}}}" for field in TurnEnded.__struct_fields__},
        "timeout": HOOK_TIMEOUT,
    }


def contents(command: Sequence[str]) -> dict[str, str]:
    """Return all files of the plugin: the rendered ones and those that are shipped as they are."""
    manifests = rendered(command)
    plain = {
        path: (SHIPPED / path).read_text(encoding="utf-8")
        for path in files_below(SHIPPED)
        if path not in manifests
    }
    return {**plain, **manifests}


def files_below(directory: Path) -> list[str]:
    """List all files below *directory*, as paths relative to it."""
    return sorted(p.relative_to(directory).as_posix() for p in directory.rglob("*") if p.is_file())


def differences(directory: Path, wanted: dict[str, str]) -> list[str]:
    """Say in words how the files in *directory* differ from what they should be."""
    found = []
    for path, text in sorted(wanted.items()):
        file = directory / path
        try:
            if file.read_text(encoding="utf-8") != text:
                found.append(f"{file} differs from its source")
        except FileNotFoundError:
            found.append(f"{file} is missing")
        except (OSError, UnicodeError) as error:
            found.append(f"{file} cannot be read: {error}")
    extra = sorted(set(files_below(directory)) - set(wanted))
    return found + [f"{directory / path} is not part of the plugin" for path in extra]


def write(directory: Path, wanted: dict[str, str]) -> None:
    """Make *directory* hold exactly these files; each is replaced in one step."""
    for path, text in wanted.items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_name(f"{target.name}.{os.getpid()}.new")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(target)
    for path in set(files_below(directory)) - set(wanted):
        (directory / path).unlink()


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the shipped manifests, or with ``--check`` compare them; returns the exit status."""
    if "--check" not in (sys.argv[1:] if arguments is None else arguments):
        write(SHIPPED, contents([PROGRAM]))
        return 0
    found = differences(SHIPPED, contents([PROGRAM]))
    for problem in found:
        print(f"plugin: {problem}; run `python -m agentbridged.ctl.plugin_files`", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
