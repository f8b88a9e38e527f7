"""A private home in which the real Claude Code starts straight at its prompt."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.lab.scripted import Json

API_KEY = "sk-ant-dummy-lab-key-000000000000"
"""No real key, only its shape."""

TOOLS = "mcp__plugin_agentbridge_agentbridge__"
"""What Claude Code puts before the names of the plugin's tools."""

SETTINGS = {
    # Not the default mode: that asks a real model about every tool call.
    "permissions": {"defaultMode": "manual", "allow": [f"{TOOLS}*", "Bash"]},
    "skipDangerousModePermissionPrompt": True,
}


def tool(name: str, **arguments: object) -> str:
    """Return the directive that makes the scripted Claude call a tool of the plugin's."""
    return f"!tool {TOOLS}{name} {json.dumps(arguments, ensure_ascii=False)}"


def seed(config_dir: Path, *, projects: list[Path], version: str) -> None:
    """
    Write a CLAUDE_CONFIG_DIR: onboarding done, the projects trusted, the bridge's tools allowed.

    Everything is in the settings, so that a test starts plain ``claude``.
    """
    trusted = {
        "hasTrustDialogAccepted": True,
        "hasCompletedProjectOnboarding": True,
        "projectOnboardingSeenCount": 9,
        "allowedTools": [],
        "mcpServers": {},
    }
    content = {
        "numStartups": 5,
        "hasCompletedOnboarding": True,
        "lastOnboardingVersion": version,
        "theme": "dark",
        "autoUpdates": False,
        "installMethod": "global",
        "bypassPermissionsModeAccepted": True,
        "hasSeenTasksHint": True,
        "hasAcknowledgedCostThreshold": True,
        "hasSeenAutoDefaultNudge": True,
        "customApiKeyResponses": {"approved": [API_KEY[-20:]], "rejected": []},
        "projects": {str(project): trusted for project in projects},
    }
    config_dir.mkdir(parents=True, exist_ok=True)
    (config_dir / ".claude.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    (config_dir / "settings.json").write_text(json.dumps(SETTINGS, indent=1), encoding="utf-8")


def environment(config_dir: Path, *, port: int) -> dict[str, str]:
    """Return what Claude Code needs besides a home: where its mock model is, and no telemetry."""
    return {
        "CLAUDE_CONFIG_DIR": str(config_dir),
        "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{port}",
        "ANTHROPIC_API_KEY": API_KEY,
        "DISABLE_TELEMETRY": "1",
        "DISABLE_ERROR_REPORTING": "1",
        "DISABLE_AUTOUPDATER": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL": "1",
        # Without it Claude Code refuses bypassPermissions to root.
        **({"IS_SANDBOX": "1"} if os.geteuid() == 0 else {}),
    }


def session(config_dir: Path, pid: int) -> Json:
    """Return what Claude Code itself says of a session (``sessionId``, ``status``), or nothing."""
    return record(config_dir / "sessions" / f"{pid}.json")


def record(path: Path) -> Json:
    """Return one of the records that Claude Code keeps of its sessions, or nothing."""
    try:
        content: Json = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content
