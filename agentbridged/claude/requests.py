"""What a seated session may ask, and how each question is answered."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from agentbridged.claude.seat import Seatable
from agentbridged.claude.session import Session
from agentbridged.errors import AgentBridgeError, ProtocolError, Refused
from agentbridged.machines.recovery import explain, reason_of
from agentbridged.wire import claude, jsonrpc
from agentbridged.wire.jsonrpc import ErrorCode

log = logging.getLogger(__name__)


class Requests:
    """The requests of one seated session."""

    def __init__(self, bridge: Seatable, session: Session) -> None:
        self._bridge = bridge
        self._session = session
        # Codex reads messages in the order in which they were sent.
        self._sending = asyncio.Lock()

    async def answer(self, message: jsonrpc.Request | jsonrpc.Notification) -> None:
        """Do what is asked and queue the answer; a notification gets none."""
        answer = await self._attempt(message)
        if answer is not None:
            self._session.outlet.put(answer)

    async def _attempt(self, message: jsonrpc.Request | jsonrpc.Notification) -> bytes | None:
        identity = message.id if isinstance(message, jsonrpc.Request) else None
        try:
            result = await self._perform(message.method, message.params)
        except Exception as error:
            return None if identity is None else failure(identity, error, what=message.method)
        return None if identity is None else jsonrpc.success(identity, result)

    async def _perform(self, method: str, params: Any) -> Any:
        bridge, session = self._bridge, self._session
        if not session.seated:
            raise _no_seat(session)
        match method:
            case "send":
                send = jsonrpc.params_as(claude.Send, params)
                async with self._sending:
                    return await bridge.send(session, send)
            case "delivered" | "tried" | "consumed" | "ways":
                self._hear(method, params)
                return {}
            case "interrupt":
                return await bridge.interrupt(session)
            case "status":
                return bridge.status()
            case _:
                raise ProtocolError(
                    f"unknown method {method[:100]!r}", code=ErrorCode.METHOD_NOT_FOUND
                )

    def _hear(self, method: str, params: Any) -> None:
        bridge, session = self._bridge, self._session
        match method:
            case "delivered":
                bridge.delivered(session, jsonrpc.params_as(claude.Delivered, params))
            case "tried":
                bridge.tried(session, jsonrpc.params_as(claude.Tried, params))
            case "consumed":
                bridge.consumed(session, jsonrpc.params_as(claude.Consumed, params))
            case _:
                session.ways = jsonrpc.params_as(claude.Ways, params)


def _no_seat(session: Session) -> Refused:
    code, detail = session.verdict or (None, "")
    reason = reason_of(code)
    return Refused(f"nothing was done. {explain(reason, detail)}", kind=reason.value)


def failure(identity: jsonrpc.Id, error: Exception, *, what: str) -> bytes:
    """Write the answer to a request (*what*) that failed with *error*."""
    match error:
        case ProtocolError():
            return jsonrpc.failure(identity, error.code, str(error))
        case Refused():
            return jsonrpc.failure(identity, ErrorCode.REFUSED, str(error), {"kind": error.kind})
        case AgentBridgeError():
            data = {"kind": "unavailable"}
            return jsonrpc.failure(identity, ErrorCode.REFUSED, str(error), data)
        case _:
            log.error("%s failed", what, exc_info=error)
            reason = "internal error in agentbridged; `agentbridgectl logs` has it"
            return jsonrpc.failure(identity, ErrorCode.INTERNAL_ERROR, reason)
