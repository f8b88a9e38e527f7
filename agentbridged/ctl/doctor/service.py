"""The service: by which manager, started when, and whether it outlives a logout."""

from __future__ import annotations

from agentbridged.ctl import service as services
from agentbridged.ctl.doctor.finding import Finding, Findings
from agentbridged.errors import AgentBridgeError


def service() -> list[Finding]:
    """Ask the service manager."""
    found = Findings("service", "service")
    try:
        status = services.chosen().status()
    except AgentBridgeError as error:
        found.warn(str(error), "run `agentbridged` in a terminal meanwhile")
        return found.all
    notes = "; ".join(status.notes)
    if status.manager == "none":
        found.ok(f"{status.state}; {notes or 'there is no service manager here'}")
    elif not status.installed:
        text = f"not installed in {status.manager}, so nothing starts the daemon at login"
        found.warn(text, "`agentbridgectl service install`")
    elif status.state == "failed":
        found.fail(f"{status.manager}: failed", "`agentbridgectl logs`, then `service restart`")
    elif not status.enabled:
        text = f"{status.manager}: {status.state}, not started at login"
        found.warn(text, "`agentbridgectl service install`")
    else:
        found.ok(f"{status.manager}: {status.state}, started at login ({status.file})")
    if status.lingers is not None:
        _linger(found, lingers=status.lingers, notes=notes)
    return found.all


def _linger(found: Findings, *, lingers: bool, notes: str) -> None:
    if lingers:
        found.ok("it runs from boot on, without a login", of="linger")
    else:
        ends = "it ends when you log out everywhere"
        found.ok(notes if ends in notes else ends, of="linger")
