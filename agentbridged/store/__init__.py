"""Every bridge and message on disk (SQLite): see :mod:`agentbridged.store.messages`."""

from agentbridged.machines.outbox import State
from agentbridged.store.messages import Store
from agentbridged.store.rows import (
    ApprovalRow,
    AttemptRow,
    BridgeRow,
    BridgeState,
    Counts,
    Direction,
    MessageRow,
    Sender,
)

__all__ = [
    "ApprovalRow",
    "AttemptRow",
    "BridgeRow",
    "BridgeState",
    "Counts",
    "Direction",
    "MessageRow",
    "Sender",
    "State",
    "Store",
]
