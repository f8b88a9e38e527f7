"""
The approvals of all bridges: heard from the app-server, kept, told, answered by people.

The ledger decides; what it says is on disk before anybody is told. Nothing here ever answers by
itself.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from typing import Any

from agentbridged.children import liveness
from agentbridged.codex.client import AppServerClient
from agentbridged.errors import Refused
from agentbridged.machines.approvals import (
    IN_CODEX,
    Approval,
    ApprovalLedger,
    ApprovalState,
    Command,
    Keep,
    Question,
    SendAnswer,
    Tell,
)
from agentbridged.store import ApprovalRow, Store
from agentbridged.wire import codex

log = logging.getLogger(__name__)


class Approvals:
    """What Codex asked people, on every bridge."""

    def __init__(
        self,
        store: Store,
        told: Callable[[ApprovalRow, bool], None],
        lives: Callable[[str], bool] = lambda server: True,
    ) -> None:
        """
        Take up what was open.

        *told* hears of each change, and whether it is a new question; *lives* says of a name of
        an app-server whether that very process lives.
        """
        self._store = store
        self._told = told
        self._lives = lives
        self._outcomes: dict[tuple[str, str], str] = {}
        """Ids of approvals answered in Codex, by thread and item: the item's end says how."""
        self._ledger = ApprovalLedger()
        self._client: AppServerClient | None = None
        self._server: str | None = None
        self._answers: asyncio.Queue[tuple[AppServerClient, SendAnswer]] = asyncio.Queue()
        for row in store.open_approvals():
            self._ledger.restore(_approval(row))

    def connected(self, client: AppServerClient, server: str) -> None:
        """An app-server is there; *server* names its very process."""
        self._client, self._server = client, server
        self._perform(self._ledger.connected(server))

    def gone(self) -> None:
        """The connection ended, and maybe the app-server with it."""
        server, self._client, self._server = self._server, None, None
        self._ledger.disconnected()
        self._outcomes.clear()
        if server is not None and not self._lives(server):
            self._perform(self._ledger.ended(server))

    def asked(self, bridge: str, request: codex.ServerRequest) -> None:
        """The app-server asks a person on this bridge's thread."""
        if self._server is None:
            return
        question = Question(self._server, request.id, request.thread_id, request.method)
        id = f"ap-{secrets.token_hex(4)}"
        if self._ledger.known(question) is None:
            self._store.add_approval(
                id=id,
                bridge=bridge,
                server=question.server,
                request_id=request.id,
                method=request.method,
                thread_id=request.thread_id,
                turn_id=request.turn_id,
                what=codex.question_in_words(request),
                asked=request.params,
            )
        self._perform(self._ledger.asked(id, question))

    def resolved(self, event: codex.RequestResolved) -> None:
        """The app-server has its answer."""
        now = time.time()
        self._perform(self._ledger.resolved(event.threadId, event.requestId, now=now))

    def item_completed(self, event: codex.ItemCompleted) -> None:
        """What was asked about is done, or was refused: that tells a person's word in Codex."""
        id = self._outcomes.pop((event.threadId, event.item.id), None)
        row = None if id is None else self._store.approval(id)
        result = codex.verdict_of(event.item)
        if row is not None and result is not None:
            self._store.set_approval(
                row.id,
                row.state,
                result=result,
                answered_by=row.answered_by,
                answered_at=row.answered_at,
            )

    def caught_up(self, thread_id: str) -> None:
        """A thread was resumed, and has asked anew all that it waits for."""
        self._perform(self._ledger.caught_up(thread_id))

    def answer(self, id: str, *, allow: bool, by: str) -> ApprovalRow:
        """
        Answer for a person; it is on disk, and sent or kept to be sent, when this returns.

        Raises :exc:`Refused`: unknown, settled, answered already (by whom), or not to be answered
        with a yes or no.
        """
        row = self._store.approval(id)
        if row is None:
            raise Refused(
                f"no approval {id!r}; `agentbridgectl approvals` lists them",
                kind="unknown_approval",
            )
        if self._server is None and not self._lives(row.server):
            self._perform(self._ledger.ended(row.server))
            row = self._kept(id)
        _check_open(row)
        result = codex.verdict(row.method, row.asked, allow=allow)
        if result is None:
            raise Refused(
                f"approval {id} asks for more than yes or no ({row.method}); answer it in Codex",
                kind="not_here",
            )
        self._perform(self._ledger.answer(id, result, by=by, now=time.time()))
        log.info("approval %s: %s by %s", id, "allowed" if allow else "denied", by)
        return self._kept(id)

    async def run(self) -> None:
        """Send the answers, for ever."""
        while True:
            client, answer = await self._answers.get()
            await client.answer(answer.request_id, answer.result)

    def _kept(self, id: str) -> ApprovalRow:
        row = self._store.approval(id)
        assert row is not None, f"approval {id} is in the store"
        return row

    def _perform(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case Keep(approval):
                    self._keep(approval)
                case Tell(id):
                    self._tell(id, new=True)
                case SendAnswer() if self._client is not None:
                    self._answers.put_nowait((self._client, command))
                case SendAnswer():
                    pass  # it is sent when the app-server asks again

    def _keep(self, approval: Approval) -> None:
        if approval.state is ApprovalState.PENDING:
            return  # it is on disk as such
        self._store.set_approval(
            approval.id,
            approval.state.value,
            result=approval.result,
            answered_by=approval.answered_by,
            answered_at=approval.answered_at,
        )
        if approval.state is ApprovalState.RESOLVED and approval.result is None:
            row = self._kept(approval.id)
            self._outcomes[row.thread_id, str(row.asked.get("itemId"))] = row.id
        self._tell(approval.id, new=False)

    def _tell(self, id: str, *, new: bool) -> None:
        self._told(self._kept(id), new)


def _approval(row: ApprovalRow) -> Approval:
    return Approval(
        row.id,
        Question(row.server, row.request_id, row.thread_id, row.method),
        ApprovalState(row.state),
        row.result,
        row.answered_by,
        row.answered_at,
    )


def _check_open(row: ApprovalRow) -> None:
    """Raise :exc:`Refused` for an approval that nobody can answer any more, saying why."""
    match row.state:
        case "orphaned":
            raise Refused(
                f"approval {row.id} was orphaned: the Codex app-server that asked has ended",
                kind="orphaned",
            )
        case "resolved":
            elsewhere = row.answered_by in ("", IN_CODEX)
            who = "in Codex" if elsewhere else f"by {row.answered_by}"
            raise Refused(f"approval {row.id} was answered {who} already", kind="answered")
        case _:
            pass


def outcome(row: ApprovalRow) -> dict[str, Any]:
    """Return what an event says of an approval: never the command itself."""
    return {"id": row.id, "bridge": row.bridge, "state": row.state, "method": row.method}


def lives(server: str) -> bool:
    """Whether the app-server of this name lives; one that is not named by its start may."""
    pid, _, started = server.partition(":")
    return not started or liveness.is_alive(liveness.Identity(int(pid), float(started)))
