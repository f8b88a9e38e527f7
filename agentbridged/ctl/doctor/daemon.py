"""The daemon and what it tells of its children, its bridges and their environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentbridged import __version__
from agentbridged.ctl import render
from agentbridged.ctl.doctor.finding import Finding, Findings, rows, table
from agentbridged.errors import START_DAEMON, AgentBridgeError, DaemonNotRunning

RESTART = "`agentbridgectl logs` says why; restart the daemon when it is mended"


def daemon(status: Mapping[str, Any] | AgentBridgeError) -> list[Finding]:
    """Say whether it runs, and as which version."""
    found = Findings("daemon", "daemon")
    if isinstance(status, DaemonNotRunning):
        found.fail("it does not run", f"start it: {START_DAEMON}")
    elif isinstance(status, AgentBridgeError):
        found.fail(str(status), "`agentbridgectl logs` may say why; restart it")
    elif status.get("version") != __version__:
        found.warn(
            f"version {status.get('version')} runs, {__version__} is installed",
            "`agentbridgectl reload` hands over to what is installed, and ends no turn",
        )
    else:
        up = render.span(status.get("uptime_s"))
        found.ok(f"version {__version__}, pid {status.get('pid')}, up {up}")
    return found.all


def store(status: Mapping[str, Any]) -> list[Finding]:
    """Say whether the daemon can keep messages just now, and what a damaged file has cost."""
    found = Findings("store", "store")
    kept = table(status, "store")
    if not kept:
        found.skipped("this daemon does not tell")
    elif kept.get("state", "ok") == "ok":
        found.ok("messages are kept")
    else:
        reason = kept.get("reason") or "see `agentbridgectl status`"
        found.fail(f"{kept['state']}: {reason}", "mend that; the daemon goes on by itself then")
    if kept.get("loss"):
        remedy = "nothing, if you miss no message; else look for it in the file that was kept"
        found.warn(str(kept["loss"]), remedy, of="loss")
    return found.all


def app_server(status: Mapping[str, Any]) -> list[Finding]:
    """Say whose app-server it is, and whether we are connected to it."""
    found = Findings("app_server", "app-server")
    server = table(status, "app_server")
    version, reason = server.get("version"), server.get("reason") or ""
    if server.get("state") == "FATAL":
        remedy = (
            "`agentbridgectl logs app-server` says why; mend that, then `agentbridgectl reload`"
        )
        found.fail(f"FATAL, given up on: {reason}", remedy)
    elif not server.get("connected"):
        found.fail(
            f"not connected ({server.get('state')}{f', {reason}' if reason else ''})",
            "`agentbridgectl logs` says why",
        )
    elif not server.get("managed", True):
        found.warn(
            f"Codex {version}, pid {server.get('pid')}: another program's, which we have joined; "
            "its PATH and keys are those it was started with",
            "nothing, if Codex works; else end it, and the daemon starts its own",
        )
    elif reason:
        found.warn(f"Codex {version}: {reason}", "start Codex with `agentbridgectl codex`")
    else:
        found.ok(f"Codex {version}, pid {server.get('pid')}, ours")
    return found.all


def proxy(status: Mapping[str, Any]) -> list[Finding]:
    """Say whether terminals can connect."""
    found = Findings("proxy", "Codex proxy")
    child = table(status, "proxy")
    state = child.get("state")
    if state == "RUNNING":
        found.ok(f"pid {child.get('pid')}, {child.get('tuis', 0)} terminals")
    else:
        why = f": {child['reason']}" if child.get("reason") else ""
        found.fail(f"{state}{why}", RESTART)
    return found.all


def degraded(status: Mapping[str, Any]) -> list[Finding]:
    """Say what of Codex and Claude Code we do without: the queue, the inbox socket, a method."""
    found = Findings("degraded", "abilities")
    lacks = rows(status, "degraded")
    for number, lack in enumerate(lacks, 1):
        program = {"codex": "Codex", "claude": "Claude Code"}.get(str(lack.get("program")), "it")
        found.warn(render.degraded(lack), f"update {program}, or agentbridge", of=str(number))
    if "degraded" not in status:
        found.skipped("this daemon does not tell")
    elif not lacks and table(status, "app_server").get("connected"):
        found.ok("Codex's queue and all else that is used is there")
    elif not lacks:
        found.skipped("nothing is known before Codex is connected")
    return found.all


def sessions(status: Mapping[str, Any]) -> list[Finding]:
    """Say of each bridge which sides are there."""
    found = Findings("bridge", "bridges")
    bridges = rows(status, "bridges")
    for bridge in bridges:
        id = str(bridge.get("id"))
        claude, codex = table(bridge, "claude"), table(bridge, "codex")
        if bridge.get("state") in ("killed", "paused"):
            verb = "revive" if bridge["state"] == "killed" else "resume"
            found.warn(f"{id} is {bridge['state']}", f"`agentbridgectl {verb} {id}`", of=id)
            continue
        there = f"Claude Code pid {claude.get('pid')}" if claude else "no Claude Code"
        there += f", Codex {codex.get('status')}" if codex else ", no Codex thread"
        if trouble := bridge.get("trouble"):
            found.warn(f"{id}: {there}; {trouble}", "open the thread in Codex again", of=id)
        else:
            found.ok(f"{id}: {there}", of=id)
    if not bridges:
        found.ok("none yet: start Claude Code in a project")
    return found.all


def environment(status: Mapping[str, Any]) -> list[Finding]:
    """Say whose variables Codex gets: by name alone."""
    found = Findings("environment", "environment")
    told = table(status, "environment")
    names = [name for name in told.get("names", []) if isinstance(name, str)]
    keys = sorted(name for name in names if name.endswith(("_KEY", "_TOKEN")))
    with_keys = f", keys: {', '.join(keys)}" if keys else ""
    if not told:
        found.skipped("this daemon does not tell")
    elif told.get("source") != "login-shell":
        found.ok(f"Codex gets the daemon's own variables ({len(names)}{with_keys})")
    elif told.get("problem"):
        found.warn(
            f"the login shell {told.get('shell')} {told['problem']}: Codex lacks its PATH and keys",
            "mend its start files, then `agentbridgectl reload`; or "
            "`agentbridgectl config set codex.environment inherit`",
        )
    elif not told.get("taken_at"):
        found.skipped("the login shell was not asked yet: that is done when Codex is started")
    else:
        when = told["taken_at"]
        found.ok(f"{len(names)} variables of {told.get('shell')}, taken {when}{with_keys}")
    return found.all
