"""
The Codex app-server's protocol, as far as we look into it: our list of version coupling.

JSON-RPC over WebSocket on a Unix socket, measured on Codex 0.169.0. Only these methods and members
are read or written; everything else passes us by unread. Members that other versions may lack have
defaults, so an older or newer Codex is read as far as it goes.
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Raw, Struct

from agentbridged.errors import ProtocolError
from agentbridged.wire.jsonrpc import Id

T = TypeVar("T")

MEASURED = "0.169.0"
"""The version of Codex that all of this was measured with."""
ARCHIVED = "is archived"
"""In the error answers for a thread that was put away (measured, 0.169.0)."""
OVERLOADED = -32001
"""Error code of the app-server: nothing was done, ask again later."""

QUIET = [
    "item/agentMessage/delta",
    "item/reasoning/summaryTextDelta",
    "item/reasoning/summaryPartAdded",
    "item/reasoning/textDelta",
    "item/commandExecution/outputDelta",
    "item/fileChange/outputDelta",
    "item/plan/delta",
    "thread/tokenUsage/updated",
    "turn/diff/updated",
]
"""Notifications we ask not to be sent: they stream, and their ends tell us all we need."""


class ThreadStatus(Struct, frozen=True):
    """What a thread does now: ``notLoaded``, ``idle``, ``systemError`` or ``active``."""

    type: str
    activeFlags: list[str] = []


class Item(Struct, frozen=True):
    """One entry of a turn; *clientId* of a ``userMessage`` is the sender's own message id."""

    type: str
    id: str
    text: str = ""
    phase: str | None = None
    clientId: str | None = None
    content: list[Any] = []
    status: Any = None

    @property
    def said(self) -> str:
        """The text parts of a ``userMessage``, joined."""
        parts = (p.get("text", "") for p in self.content if isinstance(p, dict))
        return "\n".join(part for part in parts if isinstance(part, str) and part)


class Turn(Struct, frozen=True):
    """One turn; *status* is ``inProgress``, ``completed``, ``interrupted`` or ``failed``."""

    id: str
    status: str = "inProgress"
    items: list[Item] = []
    startedAt: float | None = None

    @property
    def ended(self) -> bool:
        """Whether it runs no more."""
        return self.status != "inProgress"

    @property
    def cursor(self) -> str:
        """How the store remembers that everything up to this turn was taken in."""
        return f"{self.id}@{self.startedAt or 0:.0f}"


def time_of(cursor: str) -> float:
    """Return the Unix time of a turn's start from its :attr:`Turn.cursor`; 0 if it tells none."""
    at = cursor.partition("@")[2]
    return float(at) if at.isdecimal() else 0.0


class Thread(Struct, frozen=True):
    """One conversation of Codex."""

    id: str
    cwd: str = ""
    ephemeral: bool = False
    parentThreadId: str | None = None
    status: ThreadStatus = ThreadStatus("notLoaded")
    turns: list[Turn] = []
    createdAt: float = 0
    """Unix seconds."""
    path: str | None = None
    """Its file, which holds its history line by line."""

    @property
    def active(self) -> bool:
        """Whether a turn runs."""
        return self.status.type == "active"

    @property
    def hidden(self) -> bool:
        """Whether no person sees it: title makers and sub-agents."""
        return self.ephemeral or self.parentThreadId is not None


class ThreadAnswer(Struct, frozen=True):
    """The answer of ``thread/start``, ``thread/resume`` and ``thread/read``."""

    thread: Thread


class TurnAnswer(Struct, frozen=True):
    """The answer of ``turn/start``."""

    turn: Turn


class LoadedList(Struct, frozen=True):
    """The answer of ``thread/loaded/list``."""

    data: list[str]


class TurnsPage(Struct, frozen=True):
    """The answer of ``thread/turns/list``."""

    data: list[Turn]
    nextCursor: str | None = None


class Queued(Struct, frozen=True):
    """One entry of a thread's queue."""

    id: str
    clientUserMessageId: str


class QueueAnswer(Struct, frozen=True):
    """The answer of ``thread/queue/add``."""

    queuedSubmission: Queued


class QueuePage(Struct, frozen=True):
    """The answer of ``thread/queue/list``."""

    data: list[Queued]
    nextCursor: str | None = None


class Initialized(Struct, frozen=True):
    """The answer of ``initialize``."""

    userAgent: str = ""

    @property
    def version(self) -> str:
        """The app-server's version, or the empty string where it does not say."""
        _, _, rest = self.userAgent.partition("/")
        return rest.split(" ", 1)[0]


# Notifications


class ThreadStarted(Struct, frozen=True):
    """``thread/started``: a thread was opened by some client."""

    thread: Thread


class ThreadStatusChanged(Struct, frozen=True):
    """``thread/status/changed``."""

    threadId: str
    status: ThreadStatus


class ThreadClosed(Struct, frozen=True):
    """``thread/closed``: it was unloaded."""

    threadId: str


class ThreadGone(Struct, frozen=True):
    """``thread/archived`` and ``thread/deleted``: nothing goes there any more."""

    threadId: str


class TurnStarted(Struct, frozen=True):
    """``turn/started``."""

    threadId: str
    turn: Turn


class TurnCompleted(Struct, frozen=True):
    """``turn/completed``; its turn's items are a summary."""

    threadId: str
    turn: Turn


class ItemCompleted(Struct, frozen=True):
    """``item/completed``."""

    threadId: str
    turnId: str
    item: Item


class QueueChanged(Struct, frozen=True):
    """``thread/queue/changed``."""

    threadId: str


class RequestResolved(Struct, frozen=True):
    """``serverRequest/resolved``: somebody answered an approval, or it lapsed."""

    threadId: str
    requestId: Id


Event = (
    ThreadStarted
    | ThreadStatusChanged
    | ThreadClosed
    | ThreadGone
    | TurnStarted
    | TurnCompleted
    | ItemCompleted
    | QueueChanged
    | RequestResolved
)

_EVENTS: dict[str, type[Event]] = {
    "thread/started": ThreadStarted,
    "thread/status/changed": ThreadStatusChanged,
    "thread/closed": ThreadClosed,
    "thread/archived": ThreadGone,
    "thread/deleted": ThreadGone,
    "turn/started": TurnStarted,
    "turn/completed": TurnCompleted,
    "item/completed": ItemCompleted,
    "thread/queue/changed": QueueChanged,
    "serverRequest/resolved": RequestResolved,
}


class ServerRequest(Struct, frozen=True):
    """A request of the app-server to its clients: an approval or a question for a person."""

    id: Id
    method: str
    params: dict[str, Any] = {}

    def text(self, member: str) -> str:
        """Return a member of the params that is text; empty where it is missing or no text."""
        value = self.params.get(member)
        return value if isinstance(value, str) else ""

    @property
    def thread_id(self) -> str:
        """The thread that asks; empty where the request does not say."""
        return self.text("threadId")

    @property
    def turn_id(self) -> str | None:
        """The turn that asks."""
        return self.text("turnId") or None


def read_event(method: str, params: Raw) -> Event | None:
    """
    Read a notification; ``None`` for those we do not look into.

    Raises :exc:`ProtocolError` when one of ours has another shape than we know.
    """
    kind = _EVENTS.get(method)
    return None if kind is None else read(kind, params, method)


def turn_of(event: Event) -> str | None:
    """Return the id of the turn that an event is about."""
    match event:
        case ItemCompleted(turnId=turn_id):
            return turn_id
        case TurnStarted(turn=turn) | TurnCompleted(turn=turn):
            return turn.id
        case _:
            return None


def read_request(id: Id, method: str, params: Raw) -> ServerRequest:
    """Read a request of the app-server, known or not; one of an unknown shape has no params."""
    try:
        return ServerRequest(id, method, read(dict[str, Any], params, method))
    except ProtocolError:
        return ServerRequest(id, method)


def read(kind: type[T], raw: Raw, what: str) -> T:
    """Read a result or params as *kind*; raises :exc:`ProtocolError` naming the field."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ProtocolError(f"Codex's {what}: {error}") from error


# What we send


def initialize(version: str, *, experimental: bool = True) -> dict[str, Any]:
    """Params of ``initialize``: the queue needs ``experimentalApi``."""
    return {
        "clientInfo": {"name": "agentbridge", "title": "agentbridge", "version": version},
        "capabilities": {
            "experimentalApi": experimental,
            "requestAttestation": False,
            "optOutNotificationMethods": QUIET,
        },
    }


def text_input(text: str) -> list[dict[str, Any]]:
    """Return the ``input`` of a turn or a queue entry for plain text."""
    return [{"type": "text", "text": text, "text_elements": []}]


def developer_note(text: str) -> dict[str, Any]:
    """Return a raw Responses item for ``thread/inject_items``."""
    return {
        "type": "message",
        "role": "developer",
        "content": [{"type": "input_text", "text": text}],
    }


Waiting = Literal["approval", "user_input"]


def waiting_on(status: ThreadStatus) -> Waiting | None:
    """For whom an active thread waits, in the words of our own status."""
    if "waitingOnApproval" in status.activeFlags:
        return "approval"
    return "user_input" if "waitingOnUserInput" in status.activeFlags else None


# Approvals, as people see and answer them


def question_in_words(request: ServerRequest) -> str:
    """Return what a request asks a person, in a few words."""
    match request.method:
        case "item/commandExecution/requestApproval" | "execCommandApproval":
            return f"run the command: {request.text('command') or '(not told)'}"
        case "item/fileChange/requestApproval" | "applyPatchApproval":
            where = request.text("grantRoot")
            return f"change files{f' below {where}' if where else ''}"
        case "item/permissions/requestApproval":
            return "have more permissions"
        case "item/tool/requestUserInput":
            return "have its questions answered"
        case "mcpServer/elicitation/request":
            return f"have a question of MCP server {request.text('serverName')!r} answered"
        case other:
            return f"have {other} answered"


def verdict(method: str, params: dict[str, Any], *, allow: bool) -> dict[str, Any] | None:
    """Return the result that allows or denies a request; ``None``: it needs more than that."""
    match method:
        case "item/commandExecution/requestApproval" | "item/fileChange/requestApproval":
            return {"decision": "accept" if allow else "decline"}
        case "item/permissions/requestApproval":
            return {"permissions": params.get("permissions") if allow else {}, "scope": "turn"}
        case "mcpServer/elicitation/request" if not allow:
            return {"action": "decline", "content": None, "_meta": None}
        case _:
            return None


def verdict_of(item: Item) -> dict[str, Any] | None:
    """Return the answer that a person gave in Codex, as the item they were asked about shows it."""
    if item.type not in ("commandExecution", "fileChange") or item.status == "inProgress":
        return None
    return {"decision": "decline" if item.status == "declined" else "accept"}
