import pytest

from agentbridged.proxy.handshake import (
    BadHandshake,
    Request,
    is_accepted,
    looks_like_http,
    read_request,
)
from tests.proxy.scene import REQUEST


def test_only_the_headers_that_must_not_be_forwarded_are_dropped() -> None:
    request = read_request(REQUEST)
    dropped = [b"x-codex-app-server-compression", b"origin", b"sec-websocket-extensions"]
    wanted = [
        line for line in REQUEST.split(b"\r\n") if line.partition(b":")[0].lower() not in dropped
    ]
    assert request.head.split(b"\r\n") == wanted
    assert b"Authorization: Bearer secret" in request.head


@pytest.mark.parametrize("name", [b"ORIGIN", b"origin", b"Sec-Websocket-EXTENSIONS"])
def test_a_header_is_dropped_however_it_is_written(name: bytes) -> None:
    head = REQUEST.replace(b"Host:", name + b": x\r\nHost:")
    assert name not in read_request(head).head


def test_the_key_is_proven_as_the_rfc_has_it() -> None:
    answer = Request(b"", b"dGhlIHNhbXBsZSBub25jZQ==").accept()
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer
    assert is_accepted(answer)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST / HTTP/1.1\r\n\r\n", "400"),
        (b"GET /\r\n\r\n", "400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "426"),
        (b"GET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\n", "426"),
        (b"GET / HTTP/1.1\r\nUpgrade: WebSocket\r\n\r\n", "400"),
        (b"GET / HTTP/1.1\r\nnonsense\r\n\r\n", "400"),
        (b"GET / HTTP/1.1\r\nA: x\r\n folded: y\r\n\r\n", "400"),
        (b"GET / HTTP/1.1\r\n: x\r\n\r\n", "400"),
    ],
)
def test_what_is_no_handshake_is_answered_with_the_reason(head: bytes, status: str) -> None:
    with pytest.raises(BadHandshake) as raised:
        read_request(head)
    answer = raised.value.answer().decode()
    assert answer.startswith(f"HTTP/1.1 {status} ")
    head_text, _, body = answer.partition("\r\n\r\n")
    assert body == f"{raised.value}\n"
    assert f"Content-Length: {len(body)}" in head_text


def test_a_request_is_told_from_other_bytes_at_its_start() -> None:
    assert all(looks_like_http(b"GET / HTTP"[:size]) for size in range(10))
    assert not looks_like_http(b"\x16\x03")
    assert not looks_like_http(b"{")


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1", b"HTTP/1.1 401 Unauthorized\r\n\r\n"])
def test_an_answer_that_does_not_accept_is_seen_as_such(head: bytes) -> None:
    assert not is_accepted(head)
