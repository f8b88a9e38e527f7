"""
Every error agentbridge raises on purpose; the message is written for a person.

    AgentBridgeError
    ├── ConfigError            the user's settings are wrong; names the field
    ├── ProtocolError          a peer sent something malformed; names the field
    ├── Refused                a well-formed request that may not be done now; says why
    │   ├── UnknownBridge      no such bridge
    │   └── UnknownMessage     no such message id
    ├── Unavailable            the other side is not there
    │   ├── DaemonNotRunning   nothing listens on the daemon's socket
    │   ├── DaemonSilent       it accepted the connection and does not answer
    │   └── ConnectionLost     the connection ended before the answer came
    ├── AlreadyRunning         another daemon holds this runtime directory; names its pid
    ├── CodexError             the app-server answered with a JSON-RPC error
    │   └── CodexLacks         it has no such method, or not as we know it
    └── StoreError             the database cannot be used; says what to do
        ├── StoreUnavailable   nothing can be kept just now; nothing was changed
        └── StoreDamaged       its file is damaged, and was put aside
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

START_DAEMON = "`agentbridgectl service start`, or run `agentbridged`"
"""What a person does who has no daemon."""


class AgentBridgeError(Exception):
    """Root of the tree."""


class ConfigError(AgentBridgeError):
    """A setting is wrong; *field* names it (``governor.max_hops``, ``AGENTBRIDGE_RUNTIME_DIR``)."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class ProtocolError(AgentBridgeError):
    """A peer's message is malformed; *code* is the JSON-RPC error code it is answered with."""

    def __init__(self, problem: str, *, code: int = -32600) -> None:
        super().__init__(problem)
        self.code = code


class Refused(AgentBridgeError):
    """A well-formed request that may not be done now; *kind* is a stable word for programs."""

    def __init__(self, message: str, *, kind: str = "refused") -> None:
        super().__init__(message)
        self.kind = kind


class UnknownBridge(Refused):
    """No bridge has this id or root."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"no bridge {name!r}; `agentbridgectl bridges` lists them", kind="unknown_bridge"
        )


class UnknownMessage(Refused):
    """No message has this id."""

    def __init__(self, message_id: str) -> None:
        super().__init__(
            f"no message {message_id!r}; `agentbridgectl history` lists them",
            kind="unknown_message",
        )


class Unavailable(AgentBridgeError):
    """The other side is not there."""


class DaemonNotRunning(Unavailable):
    """Nothing listens on the daemon's socket."""


class DaemonSilent(Unavailable):
    """The daemon accepted the connection and does not answer in time."""


class ConnectionLost(Unavailable):
    """The connection ended before the answer came: the request may or may not have been done."""


class AlreadyRunning(AgentBridgeError):
    """Another daemon of this user holds the runtime directory."""

    def __init__(self, pid: int) -> None:
        super().__init__(f"agentbridged is already running as pid {pid}")
        self.pid = pid


class CodexError(AgentBridgeError):
    """The app-server answered a request with an error (JSON-RPC *code* and its message)."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class CodexLacks(CodexError):
    """The app-server has no such method, or one with other params: this Codex is older or newer."""


class StoreError(AgentBridgeError):
    """The database cannot be used."""


class StoreUnavailable(StoreError):
    """Nothing can be kept just now: what was asked for was not done, and may be asked again."""


class StoreDamaged(StoreError):
    """The file is damaged; *aside* is where it was put, or ``None`` when it could not be moved."""

    def __init__(self, problem: str, aside: Path | None) -> None:
        super().__init__(problem)
        self.aside = aside
