"""
Find the two real programs, or install them with npm into a cache directory.

The cache is ``$AGENTBRIDGE_LAB``, else ``agentbridge-lab`` in the user's cache directory. Only the
native binaries of npm's platform packages are used, so no install script runs. Two runs at once
wait for each other. ``python -m tests.lab.agents`` fetches both and prints their paths.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

NPM_PATIENCE = 900
"""Seconds npm may take: both programs are together somewhat less than 1 GB."""

_callers_environment = dict(os.environ)
"""As it was before any test made HOME private: npm finds its own settings there."""


class AgentsMissing(Exception):
    """A program can be neither found nor installed; the message says what to do."""


@dataclass(frozen=True)
class Agent:
    """One of the two programs, and where npm puts it."""

    name: str
    package: str
    version: str
    pattern: str
    """Of the binary, below node_modules; ``{platform}`` is like ``linux-x64``."""


CODEX = Agent("codex", "@openai/codex", "0.169.0", "@openai/codex-{platform}/vendor/*/bin/codex")
CLAUDE = Agent(
    "claude",
    "@anthropic-ai/claude-code",
    "2.1.330",
    "@anthropic-ai/claude-code-{platform}/claude",
)


def cache_dir() -> Path:
    """Return the cache directory; it need not exist yet."""
    environment = _callers_environment
    if chosen := os.environ.get("AGENTBRIDGE_LAB") or environment.get("AGENTBRIDGE_LAB"):
        return Path(chosen).absolute()
    home = Path(environment.get("HOME") or Path.home())
    return Path(environment.get("XDG_CACHE_HOME") or home / ".cache") / "agentbridge-lab"


def codex_binary(*, prefer_path: bool = False) -> Path:
    """Return the real Codex: the pinned one of the cache, or with *prefer_path* the user's own."""
    return _binary(CODEX, prefer_path)


def claude_binary(*, prefer_path: bool = False) -> Path:
    """Return the real Claude Code, found as :func:`codex_binary` finds Codex."""
    return _binary(CLAUDE, prefer_path)


def _on_path(agent: Agent) -> Path | None:
    found = shutil.which(agent.name, path=_callers_environment.get("PATH"))
    return Path(found) if found else None


def _binary(agent: Agent, prefer_path: bool) -> Path:
    if prefer_path and (own := _on_path(agent)):
        return own
    cache = cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / ".lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = _in_cache(agent, cache)
        if found is None:
            _install(agent, cache)
            found = _in_cache(agent, cache)
    if found is None:
        raise AgentsMissing(
            f"npm brought no {agent.package} {agent.version} for {_platform(agent)} into {cache}"
        )
    return found


def _in_cache(agent: Agent, cache: Path) -> Path | None:
    pattern = agent.pattern.format(platform=_platform(agent))
    modules = cache / "node_modules"
    package = modules.joinpath(*pattern.split("/")[:2])
    try:
        version = json.loads((package / "package.json").read_text(encoding="utf-8"))["version"]
    except (OSError, ValueError, KeyError):
        return None
    if version.partition("-")[0] != agent.version:  # Codex's packages say 0.169.0-linux-x64
        return None
    return next((p for p in sorted(modules.glob(pattern)) if os.access(p, os.X_OK)), None)


def _platform(agent: Agent) -> str:
    system, machine = platform.system().lower(), platform.machine().lower()
    arch = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}.get(machine)
    if system not in ("linux", "darwin") or arch is None:
        raise AgentsMissing(f"{agent.package} has no build for {system} on {machine}")
    # Codex is linked statically; Claude Code has a package of its own for musl.
    musl = agent is CLAUDE and system == "linux" and platform.libc_ver()[0] != "glibc"
    return f"{system}-{arch}{'-musl' if musl else ''}"


def _install(agent: Agent, cache: Path) -> None:
    npm = shutil.which("npm", path=_callers_environment.get("PATH"))
    if npm is None:
        raise AgentsMissing(
            f"{agent.name} is not installed and npm is missing; install Node.js with npm"
        )
    manifest = cache / "package.json"
    try:
        wanted = dict(json.loads(manifest.read_text(encoding="utf-8"))["dependencies"])
    except (OSError, ValueError, KeyError):
        wanted = {}
    wanted[agent.package] = agent.version
    text = json.dumps({"private": True, "dependencies": wanted}, indent=2)
    manifest.write_text(text + "\n", encoding="utf-8")
    print(f"fetching {agent.package} {agent.version} into {cache} …", file=sys.stderr, flush=True)
    command = [npm, "install", "--prefix", str(cache), "--ignore-scripts", "--include=optional"]
    command += ["--no-package-lock", "--no-audit", "--no-fund", "--no-update-notifier"]
    # Its own cache too lies in ours, so that nothing of the caller's is touched; it is needed once.
    downloads = cache / "npm"
    command += ["--cache", str(downloads), "--fetch-retries=5"]
    try:
        subprocess.run(
            [*command, "--loglevel=error"],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            env=_callers_environment,
            timeout=NPM_PATIENCE,
        )
    except subprocess.CalledProcessError as error:
        raise AgentsMissing(f"npm install ended with status {error.returncode}") from error
    except subprocess.TimeoutExpired as error:
        raise AgentsMissing(f"npm install did not end within {NPM_PATIENCE} s") from error
    finally:
        shutil.rmtree(downloads, ignore_errors=True)


def main() -> int:
    """Fetch what is missing and print where both programs are."""
    try:
        print(f"codex: {codex_binary()}")
        print(f"claude: {claude_binary()}")
    except AgentsMissing as error:
        print(f"tests.lab.agents: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
