"""
Write the man pages: ``python packaging/manual.py SHARE`` makes ``SHARE/man/man*/*``.

What a person wrote is in ``packaging/man``. A line there that begins with ``@`` is replaced by what
the program itself knows: ``@head NAME SECTION``, ``@commands`` (agentbridgectl's click tree),
``@options`` (of agentbridged), ``@settings`` (from the types of ``agentbridged.config``).
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

import agentbridged
from agentbridged import config
from agentbridged.__main__ import main as daemon
from agentbridged.ctl.main import cli

PAGES = Path(__file__).resolve().parent / "man"


class Undocumented(Exception):
    """Something a person can set or say has no text that explains it."""


def quoted(text: str) -> str:
    """Return plain text as roff shows it unchanged; ``code`` and `code` become bold."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    text = re.sub(r"``(.+?)``|`(.+?)`", lambda m: f"\\fB{m[1] or m[2]}\\fR", text)
    return "\\&" + text if text.startswith(".") else text


def head(version: str, name: str, section: str) -> Iterator[str]:
    """Give a page's first line."""
    moment = os.environ.get("SOURCE_DATE_EPOCH")
    date = datetime.fromtimestamp(int(moment), UTC) if moment else datetime.now(UTC)
    yield f'.TH {name.upper()} {section} "{date:%Y-%m-%d}" "agentbridge {version}"'


def commands(version: str) -> Iterator[str]:
    """Give agentbridgectl's own options, and every command with its own."""
    context = click.Context(cli, info_name="agentbridgectl")
    yield ".SH OPTIONS"
    yield from _options(context)
    yield ".SH COMMANDS"
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        yield from _command(click.Context(command, info_name=name, parent=context))


def options(version: str) -> Iterator[str]:
    """Give agentbridged's options."""
    yield ".SH OPTIONS"
    yield from _options(click.Context(daemon, info_name="agentbridged"))


def _command(context: click.Context) -> Iterator[str]:
    command = context.command
    words = context.command_path.split()[1:]
    group = isinstance(command, click.Group)
    pieces = [] if group else command.collect_usage_pieces(context)
    takes = [_argument(piece) for piece in pieces if piece != "[OPTIONS]"]
    yield ".TP"
    yield " ".join([f"\\fB{' '.join(words)}\\fR", *takes])
    if not command.help:
        raise Undocumented(f"agentbridgectl {' '.join(words)} has no help")
    yield quoted(inspect.cleandoc(command.help).replace("\n\n", "\n.PP\n"))
    own = list(_options(context))
    yield from [".RS", *own, ".RE"] if own else []
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _command(click.Context(inner, info_name=name, parent=context))


def _argument(piece: str) -> str:
    return re.sub(r"[A-Z_]+", lambda m: f"\\fI{m[0]}\\fR", piece.replace("...", "\\|.\\|.\\|."))


def _options(context: click.Context) -> Iterator[str]:
    for parameter in context.command.get_params(context):
        record = parameter.get_help_record(context)
        if record is None or "--help" in record[0] or isinstance(parameter, click.Argument):
            continue
        names, text = record
        yield ".TP"
        yield re.sub(r"(--?[a-z][a-z-]*)", lambda m: f"\\fB{quoted(m[0])}\\fR", names)
        yield quoted(" ".join(text.split()))


def settings(version: str) -> Iterator[str]:
    """Give every setting with its type, its default and what it is for."""
    yield ".SH SETTINGS"
    yield from _table(config.Settings, "")


def _table(kind: type[msgspec.Struct], prefix: str) -> Iterator[str]:
    texts = _texts(kind)
    types = {f.name: f for f in msgspec.inspect.type_info(kind).fields}  # type: ignore[attr-defined]
    plain = [f for f in msgspec.structs.fields(kind) if not isinstance(f.default, msgspec.Struct)]
    for field in plain:
        name = f"{prefix}{field.name}"
        if field.name not in texts:
            raise Undocumented(
                f"config.{kind.__name__}.{field.name} has no text below it that says what it does"
            )
        yield ".TP"
        yield f"\\fB{name}\\fR = \\fI{quoted(_kind(types[field.name].type))}\\fR"
        yield quoted(texts[field.name])
        yield f"Default: \\fB{quoted(json.dumps(field.default))}\\fR."
    for field in msgspec.structs.fields(kind):
        if isinstance(field.default, msgspec.Struct):
            inner = type(field.default)
            yield f".SS [{prefix}{field.name}]"
            yield quoted(inspect.cleandoc(inner.__doc__ or ""))
            yield from _table(inner, f"{prefix}{field.name}.")


def _kind(kind: msgspec.inspect.Type) -> str:
    match kind:
        case msgspec.inspect.BoolType():
            return "true | false"
        case msgspec.inspect.LiteralType():
            return " | ".join(json.dumps(value) for value in kind.values)
        case msgspec.inspect.IntType() | msgspec.inspect.FloatType():
            name = "whole number" if isinstance(kind, msgspec.inspect.IntType) else "number"
            least = "" if kind.ge is None else f" from {kind.ge}"
            return name + least + ("" if kind.le is None else f" to {kind.le}")
        case _:
            return "text"


def _texts(kind: type[msgspec.Struct]) -> dict[str, str]:
    """Read the strings below a class's fields, which exist in the source only."""
    (body,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(body, ast.ClassDef)
    found = {}
    for pair in zip(body.body, body.body[1:], strict=False):
        match pair:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = " ".join(text.split())
            case _:
                pass
    return found


MARKS: dict[str, Callable[..., Iterator[str]]] = {
    "@head": head,
    "@commands": commands,
    "@options": options,
    "@settings": settings,
}


def page(source: Path, version: str) -> str:
    """Return one finished page; raises :exc:`Undocumented`."""
    lines: list[str] = []
    for line in source.read_text(encoding="utf-8").splitlines():
        if line.startswith("@"):
            mark, *words = line.split()
            lines += MARKS[mark](version, *words)
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


def write(share: Path, version: str = agentbridged.__version__) -> None:
    """Write every page below ``share/man``."""
    for source in sorted(PAGES.iterdir()):
        directory = share / "man" / f"man{source.suffix[1:]}"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / source.name).write_text(page(source, version), encoding="utf-8")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Write agentbridge's man pages.")
    parser.add_argument("share", type=Path, help="as /usr/share")
    try:
        write(parser.parse_args().share)
    except Undocumented as error:
        sys.exit(f"manual.py: {error}")


if __name__ == "__main__":
    main()
