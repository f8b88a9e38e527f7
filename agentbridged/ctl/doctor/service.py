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
    if status.manager == "none":
        notes = "; ".join(status.notes) or "there is no service manager here"
        found.ok(f"{status.state}; {notes}")
    elif not status.installed:
        text = f"not installed in {status.manager}, so nothing starts the daemon at login"
        found.warn(text, "`agentbridgectl service install`")
    elif status.state == "failed":
        text = "; ".join([f"{status.manager}: failed", *status.notes])
        found.fail(text, "`agentbridgectl logs`, then `service restart`")
    elif not status.enabled:
        text = f"{status.manager}: {status.state}, not started at login"
        found.warn(text, "`agentbridgectl service install`")
    else:
        found.ok(f"{status.manager}: {status.state}, started at login ({status.file})")
    if status.lingers:
        found.ok("it runs from boot on, without a login", of="linger")
    elif status.lingers is not None:
        how = "`agentbridgectl service install --linger` lets it run from boot on"
        found.ok(f"it ends when you log out everywhere; {how}", of="linger")
    return found.all
