"""
Calls waiting for their answers, on any JSON-RPC connection of ours.

One table: an id for each call, a future for its answer, and one way to fail them all at once when
the connection ends, so that no caller waits for an answer that cannot come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Raw

from agentbridged.errors import AgentBridgeError, ConnectionLost
from agentbridged.wire.jsonrpc import ErrorObject, Failure, Id, Success


class AnswerError(AgentBridgeError):
    """The other side answered with a JSON-RPC error."""

    def __init__(self, error: ErrorObject) -> None:
        super().__init__(error.message)
        self.error = error


class PendingCalls:
    """The calls of one connection that have no answer yet."""

    def __init__(self) -> None:
        self._waiting: dict[Id, asyncio.Future[Raw]] = {}
        self._last = 0
        self._ended: AgentBridgeError | None = None

    @contextmanager
    def call(self) -> Iterator[tuple[int, asyncio.Future[Raw]]]:
        """
        Open a call: gives its id and the future of its result, and forgets it at the end.

        The future raises :exc:`AnswerError` for an error answer, and what :meth:`end` was given
        when the connection ends first.
        """
        if self._ended is not None:
            raise self._ended
        self._last += 1
        identity = self._last
        answer: asyncio.Future[Raw] = asyncio.get_running_loop().create_future()
        self._waiting[identity] = answer
        try:
            yield identity, answer
        finally:
            self._waiting.pop(identity, None)
            answer.cancel()

    def settle(self, message: Success | Failure) -> bool:
        """Hand an answer to its caller; says whether anybody waited for it."""
        answer = None if message.id is None else self._waiting.get(message.id)
        if answer is None or answer.done():
            return False
        if isinstance(message, Success):
            answer.set_result(message.result)
        else:
            answer.set_exception(AnswerError(message.error))
        return True

    def end(self, error: AgentBridgeError | None = None) -> None:
        """Fail every waiting call, and all later ones: the connection is gone."""
        self._ended = error or ConnectionLost("the connection ended before the answer came")
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(self._ended)
