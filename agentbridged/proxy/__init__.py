"""The Codex proxy, run as a managed child: python -m agentbridged.proxy."""
