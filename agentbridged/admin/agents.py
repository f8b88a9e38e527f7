"""
Whether an agent is behind a call on the admin socket.

Agents run shells, so one of them could run ``agentbridgectl`` to answer its own approval. Both mark
the environment of what they start, and both are ancestors of it. That stops an agent that does what
is easiest, not a program that works to hide where it came from: it runs as the same user.
"""

from __future__ import annotations

from collections.abc import Iterable

import psutil

from agentbridged.descriptors import RESERVE

MARKS = {
    "CLAUDECODE": "Claude Code",
    "CLAUDE_CODE_SESSION_ID": "Claude Code",
    "CODEX_THREAD_ID": "Codex",
    "CODEX_SANDBOX_NETWORK_DISABLED": "Codex",
}
"""Variables that each agent sets for what it runs (measured, 2.1.330 and 0.169.0)."""


def behind(pid: int | None, agents: Iterable[int] = ()) -> str:
    """
    Name the agent that the process *pid* or one of its ancestors is; empty for none.

    *agents* are pids known to be agents' own. A process that is gone already is told as unknown:
    who asks for what only a person may do must still be there.
    """
    if pid is None:
        return ""
    return RESERVE.reading(lambda: _behind(pid, set(agents)))


def _behind(pid: int, known: set[int]) -> str:
    try:
        process = psutil.Process(pid)
        for each in [process, *process.parents()]:
            if each.pid in known:
                return "an agent"
        environment = process.environ()
    except psutil.NoSuchProcess:
        return "a process that is gone"
    except psutil.AccessDenied:
        return ""
    return next((agent for mark, agent in MARKS.items() if environment.get(mark)), "")
