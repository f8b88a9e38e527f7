"""
The verbs of the admin API: what each takes, what each answers.

The daemon is seen through :class:`Desk` alone. A verb that is in the table works; one that this
version cannot do is not in it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from msgspec import Raw

from agentbridged.admin import agents
from agentbridged.admin.metrics import measure
from agentbridged.admin.story import tell
from agentbridged.errors import ProtocolError, Refused, UnknownBridge, UnknownMessage
from agentbridged.machines import governor
from agentbridged.machines.switch import Verb as SwitchVerb
from agentbridged.machines.switch import after
from agentbridged.store import ApprovalRow, BridgeRow, MessageRow, Store
from agentbridged.wire import admin as wire
from agentbridged.wire import claude
from agentbridged.wire.jsonrpc import ErrorCode, params_as

Listener = Callable[[str, dict[str, Any]], None]
Emit = Callable[[str, dict[str, Any]], None]


class Desk(Protocol):
    """The daemon, as its admin door sees it. Any method may raise :exc:`Refused`."""

    store: Store

    def status(self) -> dict[str, Any]:
        """Return ``status``'s answer."""

    def find_bridge(self, *, bridge: str | None, project_dir: str | None) -> str:
        """Return a bridge's id by id, root or a directory in it; raises :exc:`UnknownBridge`."""

    def ensure_bridge(self, project_dir: str) -> str:
        """Return the id of a project's bridge, made if it is new."""

    def kill(self, ids: list[str], by: str, reason: str) -> None:
        """Switch bridges off until they are revived."""

    def revive(self, ids: list[str], by: str, reason: str) -> None:
        """Switch killed bridges on again."""

    def pause(self, ids: list[str], by: str, reason: str) -> None:
        """Refuse sends, keep answers, until the bridges are resumed."""

    def resume(self, ids: list[str], by: str, reason: str) -> None:
        """Let paused bridges go on."""

    async def send(self, bridge: str, send: claude.Send, sender: str, to: wire.To) -> claude.Sent:
        """Take a message; it is on disk when this returns."""

    def release_seat(self, bridge: str, by: str) -> bool:
        """Take the seat from its holder; whether there was one."""

    def agent_pids(self) -> list[int]:
        """Return the processes that agents' commands descend from."""

    def answer_approval(self, id: str, *, allow: bool, by: str) -> ApprovalRow:
        """Answer an approval for a person."""

    async def reload(self) -> dict[str, Any]:
        """Read the configuration again; returns what changed."""

    def shutdown(self) -> None:
        """Begin to stop; returns at once."""

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Tell *listener* the kind and facts of all news; returns how to end it."""


@dataclass(frozen=True)
class Caller:
    """Who calls, and where news for it go."""

    by: str
    """Words for the record: the user's name."""
    pid: int | None
    """The process that called, where the kernel tells."""
    subscribe: Callable[[Callable[[str, dict[str, Any]], bool]], None]
    """Send this connection the news for which the filter says yes."""


@dataclass(frozen=True)
class Verb:
    """A verb's params, and what it does."""

    params: type[wire.Params]
    run: Callable[[Desk, Caller, Any], Awaitable[Any]]


async def call(desk: Desk, caller: Caller, method: str, params: Raw) -> Any:
    """
    Run a verb; returns its answer, which msgspec can encode.

    Raises :exc:`ProtocolError` for an unknown verb or bad params, and what the desk raises.
    """
    verb = VERBS.get(method)
    if verb is None:
        raise ProtocolError(
            f"method: no {method[:80]!r}; there are {', '.join(sorted(VERBS))}",
            code=ErrorCode.METHOD_NOT_FOUND,
        )
    return await verb.run(desk, caller, params_as(verb.params, params))


def _named(desk: Desk, params: wire.BridgeParams) -> str:
    if params.bridge is None and params.project_dir is None:
        raise ProtocolError(
            "params: `bridge` or `project_dir` is required", code=ErrorCode.INVALID_PARAMS
        )
    return desk.find_bridge(bridge=params.bridge, project_dir=params.project_dir)


def _named_or_all(desk: Desk, params: wire.BridgeParams) -> str | None:
    if params.bridge is None and params.project_dir is None:
        return None
    return _named(desk, params)


async def _status(desk: Desk, caller: Caller, params: wire.Params) -> dict[str, Any]:
    return desk.status()


async def _bridge_list(desk: Desk, caller: Caller, params: wire.Params) -> wire.BridgeList:
    kept = {row.id: row for row in desk.store.bridges()}
    rows = []
    for row in desk.status()["bridges"]:
        own = kept.get(row["id"])
        rows.append({**row, **(_switch_facts(own) if own else {})})
    return wire.BridgeList(bridges=rows)


def _switch_facts(row: BridgeRow) -> dict[str, str]:
    return {
        "changed_by": row.changed_by,
        "changed_at": wire.utc(row.changed_at),
        "reason": row.reason,
    }


Switch = Callable[[Desk], Callable[[list[str], str, str], None]]


def _switching(verb: SwitchVerb, switch: Switch) -> Callable[[Desk, Caller, Any], Awaitable[Any]]:
    async def run(desk: Desk, caller: Caller, params: wire.SwitchParams) -> wire.SwitchedBridges:
        rows = desk.store.bridges() if params.all else []
        # Of all, those that it fits: a paused one is not what a person means by `revive --all`.
        ids = [r.id for r in rows if after(r.state, verb)] if params.all else [_named(desk, params)]
        if verb == "resume":
            _only_a_person_past_the_governor(desk, caller, ids)
        switch(desk)(ids, caller.by, params.reason)
        switched = [row for id in ids if (row := desk.store.bridge(id)) is not None]
        return wire.SwitchedBridges(
            bridges=[
                wire.Switched(id=r.id, root=r.root, state=r.state, **_switch_facts(r))
                for r in switched
            ]
        )

    return run


def _only_a_person_past_the_governor(desk: Desk, caller: Caller, ids: list[str]) -> None:
    """Raise :exc:`Refused` when an agent would go on by itself where it was stopped."""
    rows = [row for id in ids if (row := desk.store.bridge(id)) is not None]
    if any(row.state == "paused" and row.changed_by == governor.BY for row in rows):
        _only_a_person(desk, caller, "resume what the governor paused", "ask your user")


async def _send(desk: Desk, caller: Caller, params: wire.SendParams) -> wire.Sent:
    # It is told to the other side as the person's word.
    _only_a_person(desk, caller, "send as a person", "an agent has tools of its own for that")
    try:
        bridge = _named(desk, params)
    except UnknownBridge:
        if params.project_dir is None:
            raise
        bridge = desk.ensure_bridge(params.project_dir)
    send = claude.Send(
        text=params.text,
        when_busy=params.when_busy,
        idempotency_key=params.idempotency_key,
        start_thread=params.start_thread,
    )
    sent = await desk.send(bridge, send, "person", params.to)
    return wire.Sent(
        id=sent.id, bridge=bridge, state=sent.state, duplicate=sent.duplicate, note=sent.note
    )


async def _list(desk: Desk, caller: Caller, params: wire.ListParams) -> wire.Messages:
    bridge = _named_or_all(desk, params)
    if bridge is None and (params.before_seq is not None or params.after_seq is not None):
        raise ProtocolError(
            "params: `before_seq` and `after_seq` need a bridge", code=ErrorCode.INVALID_PARAMS
        )
    return _fitting(
        desk.store.history(
            bridge,
            limit=params.limit,
            before_seq=params.before_seq,
            after_seq=params.after_seq,
        )
    )


async def _search(desk: Desk, caller: Caller, params: wire.SearchParams) -> wire.Messages:
    bridge = _named_or_all(desk, params)
    return _fitting(desk.store.search(params.query, bridge, params.limit))


def _fitting(rows: list[MessageRow]) -> wire.Messages:
    room = wire.ANSWER_TEXT_LIMIT
    messages: list[wire.Message] = []
    for row in reversed(rows):
        room -= len(row.text) + sum(map(len, row.prompts))
        if room < 0 and messages:
            break
        messages.append(message_at_the_door(row))
    return wire.Messages(messages=messages[::-1], truncated=len(messages) < len(rows))


async def _explain(desk: Desk, caller: Caller, params: wire.ExplainParams) -> wire.Explained:
    row = desk.store.message(params.id)
    if row is None:
        raise UnknownMessage(params.id)
    attempts = desk.store.attempts(row.id)
    replies: list[MessageRow] = []
    if row.direction == "to_codex" and row.turn_id is not None:
        replies = desk.store.by_turn(row.bridge, row.turn_id, "to_claude")
    return wire.Explained(
        message=message_at_the_door(row),
        attempts=[
            wire.Attempt(at=wire.utc(a.at), step=a.step, result=a.result, detail=a.detail)
            for a in attempts
        ],
        story=tell(row, attempts, replies, desk.store.bridge(row.bridge)),
    )


async def _approval_list(
    desk: Desk, caller: Caller, params: wire.ApprovalListParams
) -> wire.Approvals:
    bridge = _named_or_all(desk, params)
    rows = (
        desk.store.latest_approvals(bridge, params.limit)
        if params.all
        else desk.store.open_approvals(bridge)
    )
    return wire.Approvals(approvals=[_approval_at_the_door(row) for row in rows])


async def _approval_answer(
    desk: Desk, caller: Caller, params: wire.ApprovalAnswerParams
) -> wire.Approval:
    _only_a_person(desk, caller, "answer an approval", "answer it in Codex")
    allow = params.decision == "allow"
    return _approval_at_the_door(desk.answer_approval(params.id, allow=allow, by=caller.by))


def _only_a_person(desk: Desk, caller: Caller, what: str, instead: str) -> None:
    """Raise :exc:`Refused` when an agent is behind the call."""
    agent = agents.behind(caller.pid, desk.agent_pids())
    if agent:
        raise Refused(
            f"only a person can {what}, and {agent} is behind this call; "
            f"{instead}, or use a terminal of your own",
            kind="agent",
        )


def _approval_at_the_door(row: ApprovalRow) -> wire.Approval:
    return wire.Approval(
        id=row.id,
        bridge=row.bridge,
        thread_id=row.thread_id,
        turn_id=row.turn_id,
        method=row.method,
        what=row.what,
        state=row.state,
        asked_at=wire.utc(row.asked_at),
        answered_by=row.answered_by,
        answered_at=None if row.answered_at is None else wire.utc(row.answered_at),
        answer=row.result,
    )


async def _seat_release(desk: Desk, caller: Caller, params: wire.BridgeParams) -> wire.Released:
    bridge = _named(desk, params)
    return wire.Released(bridge=bridge, released=desk.release_seat(bridge, caller.by))


async def _subscribe(desk: Desk, caller: Caller, params: wire.SubscribeParams) -> wire.Subscribed:
    bridge = _named_or_all(desk, params)

    def wanted(kind: str, facts: dict[str, Any]) -> bool:
        return bridge is None or facts.get("bridge") in (None, bridge)

    caller.subscribe(wanted)
    return wire.Subscribed()


async def _metrics(desk: Desk, caller: Caller, params: wire.Params) -> wire.Metrics:
    return measure(desk.status(), desk.store)


async def _reload(desk: Desk, caller: Caller, params: wire.Params) -> dict[str, Any]:
    return await desk.reload()


async def _shutdown(desk: Desk, caller: Caller, params: wire.Params) -> dict[str, Any]:
    desk.shutdown()
    return {}


VERBS: dict[str, Verb] = {
    "status": Verb(wire.Params, _status),
    "bridge.list": Verb(wire.Params, _bridge_list),
    "bridge.kill": Verb(wire.SwitchParams, _switching("kill", lambda desk: desk.kill)),
    "bridge.revive": Verb(wire.SwitchParams, _switching("revive", lambda desk: desk.revive)),
    "bridge.pause": Verb(wire.SwitchParams, _switching("pause", lambda desk: desk.pause)),
    "bridge.resume": Verb(wire.SwitchParams, _switching("resume", lambda desk: desk.resume)),
    "message.send": Verb(wire.SendParams, _send),
    "message.list": Verb(wire.ListParams, _list),
    "message.search": Verb(wire.SearchParams, _search),
    "message.explain": Verb(wire.ExplainParams, _explain),
    "approval.list": Verb(wire.ApprovalListParams, _approval_list),
    "approval.answer": Verb(wire.ApprovalAnswerParams, _approval_answer),
    "seat.release": Verb(wire.BridgeParams, _seat_release),
    "events.subscribe": Verb(wire.SubscribeParams, _subscribe),
    "metrics": Verb(wire.Params, _metrics),
    "config.reload": Verb(wire.Params, _reload),
    "shutdown": Verb(wire.Params, _shutdown),
}
"""Every verb this daemon does."""


def message_at_the_door(row: MessageRow) -> wire.Message:
    """Return a message as every door shows it."""
    return wire.Message(
        id=row.id,
        bridge=row.bridge,
        seq=row.seq,
        direction=row.direction,
        sender=row.sender,
        text=row.text,
        state=row.state,
        thread_id=row.thread_id,
        turn_id=row.turn_id,
        in_reply_to=row.in_reply_to,
        prompts=row.prompts,
        created_at=wire.utc(row.created_at),
        changed_at=wire.utc(row.changed_at),
    )
