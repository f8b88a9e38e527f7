"""Managed child processes: start, watch, adopt, stop."""
