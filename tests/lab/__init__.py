"""A laboratory: the real Codex and the real Claude Code on scripted models, in a private world."""
