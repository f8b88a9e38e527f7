"""``python -m agentbridged.ctl``: agentbridgectl where no console script is installed."""

from agentbridged.ctl.main import main

main()
