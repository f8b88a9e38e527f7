"""The Codex side: the app-server, our connection to it, and the bridge's thread."""
