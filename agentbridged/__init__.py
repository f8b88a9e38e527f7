"""agentbridge: a live Claude Code session and a live Codex session in one project work as peers."""

__version__ = "0.1.0"
