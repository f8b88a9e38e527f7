import pytest
from msgspec import Raw

from agentbridged.calls import AnswerError, PendingCalls
from agentbridged.errors import ConnectionLost
from agentbridged.wire.jsonrpc import ErrorObject, Failure, Success


async def test_each_call_gets_its_own_answer() -> None:
    calls = PendingCalls()
    with calls.call() as (first, one), calls.call() as (second, two):
        assert calls.settle(Success(second, Raw(b"2")))
        assert calls.settle(Success(first, Raw(b"1")))
        assert (bytes(await one), bytes(await two)) == (b"1", b"2")


async def test_an_error_answer_is_raised() -> None:
    calls = PendingCalls()
    with calls.call() as (id, answer):
        calls.settle(Failure(id, ErrorObject(-32001, "later")))
        with pytest.raises(AnswerError, match="later"):
            await answer


async def test_an_answer_that_nobody_waits_for_is_passed_over() -> None:
    calls = PendingCalls()
    assert not calls.settle(Success(7, Raw(b"1")))
    assert not calls.settle(Failure(None, ErrorObject(1, "x")))
    with calls.call() as (id, _):
        assert not calls.settle(Success(str(id), Raw(b"1")))
    assert not calls.settle(Success(id, Raw(b"1")))


async def test_the_end_fails_every_call_now_and_later() -> None:
    calls = PendingCalls()
    with calls.call() as (_, answer):
        calls.end()
        with pytest.raises(ConnectionLost):
            await answer
    with pytest.raises(ConnectionLost), calls.call():
        pass
