"""The bridges: what introduces a Claude session and a Codex thread to each other."""
