"""Bad input on ``claude.sock``: a clear close, and the holder never notices."""

from __future__ import annotations

import asyncio

import pytest
from websockets.exceptions import ConnectionClosedError

from agentbridged.claude.server import FRAME_LIMIT
from tests.claude.hall import PATIENCE, Hall, open_hall


async def refused_with(hall: Hall, frame: bytes) -> tuple[int | None, str | None]:
    """Write raw bytes behind a good handshake; return how the connection was closed."""
    async with hall.shim() as shim:
        shim.ws.transport.write(frame)
        return await shim.closed()


def masked(opcode: int, payload: bytes) -> bytes:
    assert len(payload) < 126
    return bytes([0x80 | opcode, 0x80 | len(payload), 0, 0, 0, 0]) + payload


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (masked(1, b"hello"), "not JSON"),
        (masked(1, b"[1]"), "not a JSON-RPC message"),
        (masked(1, b"{}"), "method: missing"),
        (masked(1, b'{"method":"attach","id":null}'), "id: expected"),
        (masked(1, b"\xff\xfe"), "malformed frame: invalid start byte"),
        (masked(2, b"{}"), "binary frame"),
        (b"\x81\x02{}", "malformed frame: incorrect masking"),
        (b"\xff\x80\0\0\0\0", "malformed frame: invalid opcode"),
        (b"\x81\xff" + (FRAME_LIMIT + 1).to_bytes(8, "big") + b"\0\0\0\0", "malformed frame"),
        (masked(1, b'{"method":"send","id":1}'), "attach (with an id) must come first, not send"),
        (masked(1, b'{"method":"attach"}'), "attach (with an id) must come first, not attach"),
        (masked(1, b'{"id":1,"result":{}}'), "attach (with an id) must come first, not an answer"),
        (masked(1, b'{"method":"status","id":1}'), "attach (with an id) must come first"),
    ],
)
async def test_bad_input_is_closed_with_4005_and_the_reason(frame: bytes, reason: str) -> None:
    async with open_hall() as hall, hall.shim() as holder:
        await holder.attach()
        code, said = await refused_with(hall, frame)
        assert code == 4005
        assert said is not None
        assert said.startswith(reason)
        assert "result" in await holder.call("status")


@pytest.mark.parametrize("frame", [b"\x81", b"\x81\xfe\x01", masked(1, b"{}")[:-1]])
async def test_a_truncated_frame_harms_nobody(frame: bytes) -> None:
    async with open_hall() as hall, hall.shim() as holder:
        await holder.attach()
        async with hall.shim() as shim:
            shim.ws.transport.write(frame)
            shim.ws.transport.write_eof()
            with pytest.raises(ConnectionClosedError):
                await shim.hear()
        assert "result" in await holder.call("status")


@pytest.mark.parametrize("noise", [b"", b"\0" * 5000, b"GET / HTTP/1.1\r\n\r\n", b"{}\n"])
async def test_what_is_no_websocket_is_refused_in_bounded_time(noise: bytes) -> None:
    async with open_hall() as hall, hall.shim() as holder:
        await holder.attach()
        reader, writer = await asyncio.open_unix_connection(str(hall.door.path))
        writer.write(noise)
        async with asyncio.timeout(PATIENCE):
            answer = await reader.read()
        assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
        writer.close()
        await writer.wait_closed()
        assert "result" in await holder.call("status")


async def test_a_connection_that_says_nothing_is_closed_after_ten_seconds() -> None:
    async with open_hall() as hall, hall.shim() as shim:
        loop = asyncio.get_running_loop()
        began = loop.time()
        code, reason = await shim.closed()
        assert (code, reason) == (4005, "nothing was said for 10 s; attach first")
        assert 10 <= loop.time() - began < 11


async def test_an_attached_session_may_be_quiet_for_days() -> None:
    async with open_hall() as hall, hall.shim() as shim:
        await shim.attach()
        await asyncio.sleep(3 * 86400)
        assert "result" in await shim.call("status")
