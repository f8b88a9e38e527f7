"""
What a person reads in the terminal: small tables and sentences.

Pure but for the local time zone. What others wrote (messages, names) is printed without its
control characters, so that no message can steer the terminal.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from agentbridged.wire.admin import Approval, Message

Row = Mapping[str, Any]
_NAMES = {"claude": "Claude", "codex": "Codex", "person": "you"}


def status(answer: Row) -> str:
    """Tell how the daemon, its children and its bridges are."""
    lines = [
        f"agentbridged {plain(answer.get('version'))}, pid {plain(answer.get('pid'))}, "
        f"{plain(answer.get('state'))} for {span(answer.get('uptime_s'))}",
        f"app-server   {_child(answer.get('app_server'), _app_server)}",
        f"proxy        {_child(answer.get('proxy'), _proxy)}",
        *(f"degraded     {degraded(row)}" for row in answer.get("degraded") or []),
    ]
    lines += _store(answer.get("store") or {})
    rows = answer.get("bridges") or []
    if not rows:
        lines += ["", "no bridges yet: start `claude` or `codex` in a project"]
    for row in rows:
        lines += ["", *_bridge(row)]
    return "\n".join(lines)


def _store(store: Row) -> list[str]:
    """Tell of the database only what is wrong with it."""
    wrong = [plain(store[key]) for key in ("reason", "loss") if store.get(key)]
    if store.get("state", "ok") != "ok":
        wrong[:0] = [f"{plain(store['state'])} since {local(store['since'])}"]
    return [f"database     {': '.join(wrong)}"] if wrong else []


def _child(child: Row | None, more: Any) -> str:
    if not child:
        return "none"
    words = [plain(child.get("state"))]
    if child.get("pid"):
        words.append(f"pid {child['pid']}")
    if child.get("restarts"):
        words.append(f"restarted {_many(child['restarts'], 'time')}")
    words += more(child)
    words += [plain(child[key]) for key in ("reason", "note") if child.get(key)]
    return ", ".join(words)


def degraded(row: Row) -> str:
    """Tell what one of the two programs lacks, and what is done instead."""
    name = _NAMES.get(str(row.get("program")), plain(row.get("program")))
    where = f" ({plain(row['bridge'])})" if row.get("bridge") else ""
    lack = f"{name}{where} lacks {plain(row.get('method'))} as we know it"
    return f"{lack} ({plain(row.get('problem'))}): {plain(row.get('instead'))}"


def _app_server(child: Row) -> list[str]:
    version = f"Codex {plain(child['version'])}" if child.get("version") else ""
    measured = child.get("measured")
    if version and measured and child["version"] != measured:
        version += f" (agentbridge was measured with {plain(measured)})"
    owner = "" if child.get("managed") is None else ("ours" if child["managed"] else "joined")
    return [word for word in (version, owner) if word]


def _proxy(child: Row) -> list[str]:
    return [_many(child.get("tuis") or 0, "TUI")]


def _bridge(row: Row) -> list[str]:
    reason = f" ({plain(row['reason'])})" if row.get("reason") else ""
    lines = [
        f"{plain(row.get('id'))}  {plain(row.get('state'))}{reason}  {plain(row.get('root'))}",
        f"  Claude   {_claude(row.get('claude'))}",
        f"  Codex    {_codex(row.get('codex'))}",
    ]
    if waiting := waits(row):
        lines.append(f"  waiting  {waiting}")
    return lines


def _claude(side: Row | None) -> str:
    if not side:
        return "no session"
    session = f", session {plain(side['session_id'])}" if side.get("session_id") else ""
    since = f", since {local(side['since'])}" if side.get("since") else ""
    return f"pid {plain(side.get('pid'))}{session}{since}"


def _codex(side: Row | None) -> str:
    if not side:
        return "no thread"
    words = [f"thread {plain(side.get('thread_id'))}", plain(side.get("status"))]
    if side.get("waiting_on"):
        since = f" since {local(side['waiting_since'])}" if side.get("waiting_since") else ""
        what = plain(side["waiting_on"]).replace("_", " ")
        words.append(f"waits for a person ({what}){since}")
    if side.get("tui"):
        words.append("shown in a TUI")
    return ", ".join(words)


def waits(row: Row) -> str:
    """Tell what waits in a bridge; empty when nothing does."""
    parts = [f"{row[key]} to {name}" for key, name in _SIDES if row.get(key)]
    oldest = row.get("oldest_undelivered_s")
    if parts and oldest is not None:
        parts.append(f"the oldest for {span(oldest)}")
    return ", ".join(parts)


_SIDES = (("to_codex", "Codex"), ("to_claude", "Claude"))


def bridges(rows: Sequence[Row]) -> str:
    """Show the bridges as a table."""
    if not rows:
        return "no bridges yet: start `claude` or `codex` in a project"
    return table(
        ("BRIDGE", "STATE", "CLAUDE", "CODEX", "WAITING", "ROOT"),
        [
            (
                plain(row.get("id")),
                plain(row.get("state")),
                f"pid {plain(row['claude'].get('pid'))}" if row.get("claude") else "-",
                plain(row["codex"].get("status")) if row.get("codex") else "-",
                str((row.get("to_codex") or 0) + (row.get("to_claude") or 0)),
                plain(row.get("root")),
            )
            for row in rows
        ],
    )


def message(row: Message) -> str:
    """Show a message with its text."""
    to = "Codex" if row.direction == "to_codex" else "Claude"
    head = (
        f"{local(row.created_at)}  {_NAMES.get(row.sender, plain(row.sender))} → {to}  "
        f"{row.state}  {row.id}"
    )
    return "\n".join([head, *(f"    {line}" for line in plain(row.text).splitlines())])


def approval(row: Approval) -> str:
    """Return an approval as two lines: what is asked, and how to answer or who did."""
    head = f"{row.id}  {row.state}  {local(row.asked_at)}  {row.bridge}"
    what = f"  Codex wants to {plain(row.what)}"
    if row.state == "pending":
        return f"{head}\n{what}\n  agentbridgectl approvals allow|deny {row.id}"
    who = f"{row.answered_by}" if row.answered_by else "somebody in Codex"
    if row.state == "orphaned":
        return f"{head}\n{what}\n  nobody answered before Codex's app-server ended"
    return f"{head}\n{what}\n  answered by {who}"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Set rows in columns as wide as they need."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (heads, *rows)
    )
    return "\n".join(lines)


def plain(value: Any) -> str:
    """Write a value without control characters; line ends and tabs stay."""
    text = "-" if value is None else str(value)
    return "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text
    )


def local(iso: str) -> str:
    """Write a UTC time as the person's local one."""
    try:
        moment = datetime.datetime.fromisoformat(iso)
    except ValueError:
        return plain(iso)
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def span(seconds: float | None) -> str:
    """Write a span in the two largest units that matter: ``4 h 10 min``."""
    if seconds is None:
        return "-"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    for size, name, smaller, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min")):
        if whole >= size:
            return f"{whole // size} {name} {whole % size // smaller} {small}"
    return f"{whole // 60} min {whole % 60} s"


def _many(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
