"""JSON-RPC's envelopes: what is read, what is refused and how, what is written."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw, Struct

from agentbridged.errors import ProtocolError
from agentbridged.wire import jsonrpc
from agentbridged.wire.jsonrpc import (
    ErrorCode,
    ErrorObject,
    Failure,
    Notification,
    Request,
    Success,
    decode,
    params_as,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
IDS = st.integers(-(2**53), 2**53) | st.text()


def value(raw: Raw) -> Any:
    return msgspec.json.decode(raw)


# Read


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"jsonrpc":"2.0","id":6,"method":"m"}', Request(6, "m", Raw(b"null"))),
        (b'{"id":"6","method":"m","params":{"a":1}}', Request("6", "m", Raw(b'{"a":1}'))),
        (b'{"method":"m","params":[1]}', Notification("m", Raw(b"[1]"))),
        (b'{"id":6,"result":null}', Success(6, Raw(b"null"))),
        (b'{"id":6,"error":{"code":1,"message":"x"}}', Failure(6, ErrorObject(1, "x"))),
        (b'{"id":null,"error":{"code":1,"message":"x"}}', Failure(None, ErrorObject(1, "x"))),
        (b'{"error":{"code":1,"message":"x"}}', Failure(None, ErrorObject(1, "x"))),
        (b'{"id":1,"method":"m","emittedAtMs":7,"trace":{}}', Request(1, "m", Raw(b"null"))),
        (b' {"id":1,"method":"m"}\r\n', Request(1, "m", Raw(b"null"))),
    ],
)
def test_each_kind_of_message_is_told_apart(data: bytes, message: jsonrpc.Message) -> None:
    assert decode(data) == message
    assert decode(data.decode()) == message


@pytest.mark.parametrize(
    ("data", "code", "member"),
    [
        (b"", -32700, "JSON"),
        (b"nonsense", -32700, "JSON"),
        (b'{"id":1,"method":"m"', -32700, "JSON"),
        (b'{"id":1,"method":"m"}{}', -32700, "JSON"),
        (b'{"id":1,"method":"\xff"}', -32700, "JSON"),
        (b'{"params":' + b"[" * 200_000, -32700, "deep"),
        (b"[]", -32600, "array"),
        (b"null", -32600, "null"),
        (b"{}", -32600, "method"),
        (b'{"id":1}', -32600, "method"),
        (b'{"id":1,"method":7}', -32600, "$.method"),
        (b'{"id":null,"method":"m"}', -32600, "id"),
        (b'{"id":1.5,"method":"m"}', -32600, "$.id"),
        (b'{"id":true,"method":"m"}', -32600, "$.id"),
        (b'{"id":[1],"method":"m"}', -32600, "$.id"),
        (b'{"result":1}', -32600, "id"),
        (b'{"id":null,"result":1}', -32600, "id"),
        (b'{"id":1,"error":"x"}', -32600, "$.error"),
        (b'{"id":1,"error":{"code":"x","message":"x"}}', -32600, "$.error.code"),
        (b'{"jsonrpc":"1.0","id":1,"method":"m"}', -32600, "jsonrpc"),
        (b'{"jsonrpc":2,"id":1,"method":"m"}', -32600, "$.jsonrpc"),
    ],
)
def test_what_is_no_message_is_refused_by_the_name_of_the_member(
    data: bytes, code: int, member: str
) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode(data)
    assert caught.value.code == code
    assert member in str(caught.value)


@given(st.binary(max_size=200) | JSON.map(msgspec.json.encode))
def test_whatever_comes_is_a_message_or_a_protocol_error(data: bytes) -> None:
    try:
        message = decode(data)
    except ProtocolError as error:
        code = error.code
    else:
        assert isinstance(message, Request | Notification | Success | Failure)
        return
    assert code in (ErrorCode.PARSE_ERROR, ErrorCode.INVALID_REQUEST)


# Written and read again


@given(IDS, st.text(), st.dictionaries(st.text(), JSON, max_size=3))
def test_a_request_comes_back_with_its_id_of_the_same_type(
    id: jsonrpc.Id, method: str, params: dict[str, Any]
) -> None:
    message = decode(jsonrpc.request(id, method, params))
    assert isinstance(message, Request)
    assert (message.id, type(message.id), message.method) == (id, type(id), method)
    assert value(message.params) == params


@given(IDS, JSON)
def test_an_answer_comes_back(id: jsonrpc.Id, result: Any) -> None:
    message = decode(jsonrpc.success(id, result))
    assert isinstance(message, Success)
    assert (message.id, value(message.result)) == (id, result)


@given(st.none() | IDS, st.text(), JSON)
def test_a_failure_comes_back(id: jsonrpc.Id | None, text: str, data: Any) -> None:
    message = decode(jsonrpc.failure(id, ErrorCode.REFUSED, text, data))
    assert message == Failure(id, ErrorObject(-32000, text, data))


def test_what_we_write_is_one_line_with_its_version() -> None:
    assert jsonrpc.notification("m", {"t": "a\nb"}) == (
        b'{"jsonrpc":"2.0","method":"m","params":{"t":"a\\nb"}}'
    )
    assert jsonrpc.request(1, "m") == b'{"jsonrpc":"2.0","id":1,"method":"m","params":{}}'
    assert jsonrpc.failure(None, -32700, "x") == (
        b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}'
    )


# Params


class Wanted(Struct):
    a: int = 0


@pytest.mark.parametrize("raw", [b"null", b"", b"{}"])
def test_absent_params_are_an_empty_object(raw: bytes) -> None:
    assert params_as(Wanted, Raw(raw)) == Wanted()


def test_params_of_a_request_read_as_the_wanted_kind() -> None:
    message = decode(b'{"id":1,"method":"m","params":{"a":7,"later":true}}')
    assert isinstance(message, Request)
    assert params_as(Wanted, message.params) == Wanted(7)


@pytest.mark.parametrize(
    ("raw", "field"),
    [(b'{"a":"x"}', "$.a"), (b"[]", "array"), (b'"x"', "str"), (b'{"a":1.5}', "$.a")],
)
def test_wrong_params_name_the_field(raw: bytes, field: str) -> None:
    with pytest.raises(ProtocolError, match="params: ") as caught:
        params_as(Wanted, Raw(raw))
    assert caught.value.code == ErrorCode.INVALID_PARAMS
    assert field in str(caught.value)
