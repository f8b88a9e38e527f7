"""agentbridgectl: the command line."""
