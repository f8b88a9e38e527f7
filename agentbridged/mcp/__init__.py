"""agentbridge-mcp: the thin MCP server that Claude Code starts for each session."""
