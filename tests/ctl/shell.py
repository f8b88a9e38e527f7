"""agentbridgectl as a person runs it: a process of its own, in a project, with a private home."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
BOUND = 60.0


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, for programs."""
        assert self.code == 0, self.err
        return json.loads(self.out)


@dataclass
class Shell:
    """A person's shell: a home, a project, and an environment that names nobody's secrets."""

    home: Path
    more: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the home and the project."""
        self.project = self.home / "project"
        self.project.mkdir()
        self.runtime = self.home
        self.state = self.home / "state"

    @property
    def environment(self) -> dict[str, str]:
        """Everything the command sees."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "PYTHONPATH": str(ROOT),
            "AGENTBRIDGE_RUNTIME_DIR": str(self.runtime),
            "AGENTBRIDGE_STATE_DIR": str(self.state),
            "AGENTBRIDGE_CONFIG": str(self.home / "config" / "config.toml"),
        } | self.more

    async def start(
        self, *arguments: str, cwd: Path | None = None, stdout: int = asyncio.subprocess.PIPE
    ) -> asyncio.subprocess.Process:
        """Start agentbridgectl."""
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "agentbridged.ctl", *arguments),
            cwd=cwd or self.project,
            env=self.environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=stdout,
            stderr=asyncio.subprocess.PIPE,
        )

    async def ctl(self, *arguments: str, cwd: Path | None = None, given: bytes = b"") -> Done:
        """Run agentbridgectl to its end; a traceback is never right."""
        process = await self.start(*arguments, cwd=cwd)
        out, err = await asyncio.wait_for(process.communicate(given), BOUND)
        assert process.returncode is not None
        done = Done(process.returncode, out.decode(), err.decode())
        assert "Traceback" not in done.err, done.err
        return done
