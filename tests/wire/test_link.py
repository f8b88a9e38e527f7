import pytest

from agentbridged.errors import ProtocolError
from agentbridged.wire.link import (
    FromDaemon,
    FromProxy,
    Hello,
    Shutdown,
    TuiCame,
    TuiLeft,
    TuiShows,
    Upstream,
    decode_from_daemon,
    decode_from_proxy,
    encode,
)


@pytest.mark.parametrize(
    "message",
    [
        Hello(pid=1, generation=2, version="0"),
        TuiCame(tui=1, pid=0),
        TuiShows(tui=1, thread_id="t"),
        TuiLeft(tui=1),
    ],
)
def test_what_the_proxy_says_is_read_as_it_was_written(message: FromProxy) -> None:
    line = encode(message)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode_from_proxy(line) == message


@pytest.mark.parametrize("message", [Upstream("/x y\n", 3), Shutdown()])
def test_what_the_daemon_says_is_read_as_it_was_written(message: FromDaemon) -> None:
    line = encode(message)
    assert line.count(b"\n") == 1
    assert decode_from_daemon(line) == message


def test_unknown_members_are_ignored_so_that_either_side_may_learn_first() -> None:
    assert decode_from_daemon(b'{"type":"shutdown","why":1}') == Shutdown()


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b'{"type":"else"}', b'{"type":"upstream"}'])
def test_what_is_not_understood_is_a_protocol_error(line: bytes) -> None:
    with pytest.raises(ProtocolError, match="from the daemon"):
        decode_from_daemon(line)
    with pytest.raises(ProtocolError, match="from the proxy"):
        decode_from_proxy(line)
