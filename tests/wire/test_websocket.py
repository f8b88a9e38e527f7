import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbridged.wire.websocket import (
    FrameHeader,
    Message,
    Opcode,
    Walker,
    close_frame,
    nothing,
    unmask,
)

MASK = b"\x11\x22\x33\x44"


def frame(
    payload: bytes, opcode: int = Opcode.TEXT, *, fin: bool = True, mask: bytes = b""
) -> bytes:
    size = len(payload)
    masked = 0x80 if mask else 0
    if size < 126:
        length = bytes((masked | size,))
    elif size < 2**16:
        length = bytes((masked | 126,)) + size.to_bytes(2, "big")
    else:
        length = bytes((masked | 127,)) + size.to_bytes(8, "big")
    return bytes(((0x80 if fin else 0) | opcode,)) + length + mask + unmask_or_not(payload, mask)


def unmask_or_not(payload: bytes, mask: bytes) -> bytes:
    return bytes(b ^ mask[i % 4] for i, b in enumerate(payload)) if mask else payload


def everything(header: FrameHeader) -> int:
    return 2**20


def slices(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


def heard(walker: Walker, *parts: bytes) -> list[Message]:
    return [message for part in parts for message in walker.feed(part)]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 214, 65535, 65536, 200_000])
@pytest.mark.parametrize("mask", [b"", MASK])
def test_a_message_of_any_length_is_heard_whole(size: int, mask: bytes) -> None:
    text = bytes(i % 251 for i in range(size))
    assert heard(Walker(everything), frame(text, mask=mask)) == [Message(text, size)]


@pytest.mark.parametrize("mask", [b"", MASK])
def test_one_byte_at_a_time_makes_no_difference(mask: bytes) -> None:
    texts = [b"", b"short", b"x" * 300, b"y" * 70_000, b"last"]
    stream = b"".join(frame(text, mask=mask) for text in texts)
    walker = Walker(everything)
    assert [m.data for m in heard(walker, *slices(stream, 1))] == texts
    assert walker.between_frames


def test_control_frames_between_fragments_do_not_break_the_message() -> None:
    stream = (
        frame(b"one ", fin=False)
        + frame(b"ping", Opcode.PING)
        + frame(b"two ", Opcode.CONTINUATION, fin=False)
        + frame(b"", Opcode.PONG)
        + frame(b"three", Opcode.CONTINUATION)
    )
    for size in (1, 2, 3, 7, 1000):
        assert heard(Walker(everything), *slices(stream, size)) == [Message(b"one two three", 13)]


def test_of_a_big_message_only_the_wanted_prefix_is_kept() -> None:
    big = b"a" * 12_000_000
    walker = Walker(lambda header: 4096 if header.length > 65536 else 65536)
    most = 0
    messages = []
    for part in slices(frame(big) + frame(b"next"), 65536):
        messages += walker.feed(part)
        most = max(most, len(walker._kept))
    assert messages == [Message(b"a" * 4096, len(big)), Message(b"next", 4)]
    assert most == 4096
    assert [message.whole for message in messages] == [False, True]


def test_a_64_bit_length_is_followed_without_its_payload_being_held() -> None:
    walker = Walker(lambda header: 10)
    head = b"\x81\x7f" + (2**40).to_bytes(8, "big")
    assert heard(walker, head, b"0123456789abcdef") == []
    assert walker.fault is None
    assert not walker.between_frames
    assert bytes(walker._kept) == b"0123456789"


def test_binary_messages_and_unwanted_ones_are_passed_over() -> None:
    stream = frame(b"bin", Opcode.BINARY) + frame(b"text")
    assert heard(Walker(everything), stream) == [Message(b"text", 4)]
    assert heard(Walker(), stream) == []


def test_what_is_wanted_may_change_between_messages() -> None:
    walker = Walker()
    assert heard(walker, frame(b"before") + frame(b"z" * 300)) == []
    walker.want = everything
    assert heard(walker, frame(b"now")) == [Message(b"now", 3)]
    walker.want = nothing
    assert heard(walker, frame(b"after")) == []


def test_a_message_that_began_unwanted_stays_so() -> None:
    walker = Walker()
    walker.feed(frame(b"first ", fin=False))
    walker.want = everything
    assert heard(walker, frame(b"second", Opcode.CONTINUATION), frame(b"new")) == [
        Message(b"new", 3)
    ]


@pytest.mark.parametrize(
    ("stream", "fault"),
    [
        (b"HTTP/1.1 200 OK\r\n", "a reserved bit is set"),
        (b"\xc1\x00", "a reserved bit is set"),
        (b"\x83\x00", "opcode 3 is reserved"),
        (b"\x81\xff" + b"\xff" * 8 + MASK, "a length has its top bit set"),
        (b"\x09\x00", "a control frame is fragmented or too long"),
        (b"\x89\x7e\x00\x80", "a control frame is fragmented or too long"),
        (b"\x80\x00", "a fragment comes out of order"),
        (b"\x01\x00\x81\x00", "a fragment comes out of order"),
    ],
)
def test_what_is_no_websocket_makes_the_walker_quiet_for_good(stream: bytes, fault: str) -> None:
    for parts in ([stream], slices(stream, 1)):
        walker = Walker(everything)
        assert heard(walker, *parts) == []
        assert walker.fault == fault
        assert heard(walker, frame(b"too late")) == []
        assert not walker.between_frames


@pytest.mark.parametrize("want", [everything, nothing])
def test_between_frames_is_told_apart_from_within_one(want: object) -> None:
    walker = Walker(everything if want is everything else nothing)
    stream = frame(b"hello") + frame(b"w" * 300)
    ends = {0, 7, len(stream)}
    for at, byte in enumerate(stream):
        assert walker.between_frames == (at in ends), at
        walker.feed(bytes((byte,)))
    assert walker.between_frames


def test_a_close_frame_is_noticed_as_soon_as_it_begins() -> None:
    walker = Walker()
    walker.feed(frame(b"bye"))
    assert not walker.closing
    walker.feed(close_frame(1001, "going")[:2])
    assert walker.closing


def test_a_close_frame_carries_code_and_a_reason_cut_at_a_character() -> None:
    made = close_frame(1001, "ü" * 100)
    assert made[0] == 0x88
    assert made[1] == len(made) - 2 <= 125
    assert int.from_bytes(made[2:4], "big") == 1001
    assert made[4:].decode() == "ü" * 61


Frames = st.lists(
    st.tuples(st.binary(max_size=400), st.integers(1, 4), st.booleans()), min_size=1, max_size=12
)


@given(frames=Frames, seed=st.integers(), masked=st.booleans(), wanted=st.integers(1, 300))
def test_any_fragmentation_and_any_slicing_gives_the_same_messages(
    frames: list[tuple[bytes, int, bool]], seed: int, masked: bool, wanted: int
) -> None:
    luck = random.Random(seed)
    mask = MASK if masked else b""
    stream = b""
    for text, pieces, ping in frames:
        cuts = sorted(luck.choices(range(len(text) + 1), k=pieces - 1))
        bounds = [0, *cuts, len(text)]
        for i in range(pieces):
            stream += frame(
                text[bounds[i] : bounds[i + 1]],
                Opcode.CONTINUATION if i else Opcode.TEXT,
                fin=i == pieces - 1,
                mask=mask,
            )
            stream += frame(b"p", Opcode.PING, mask=mask) if ping else b""
    walker = Walker(lambda header: wanted)
    silent = Walker()
    messages = []
    at = 0
    while at < len(stream):
        step = luck.randint(1, 200)
        messages += walker.feed(stream[at : at + step])
        assert silent.feed(stream[at : at + step]) == []
        at += step
    assert messages == [Message(text[:wanted], len(text)) for text, _, _ in frames]
    assert walker.between_frames
    assert silent.between_frames


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4), st.integers(0, 9))
def test_unmasking_twice_gives_the_original(data: bytes, mask: bytes, offset: int) -> None:
    assert unmask(unmask(data, mask, offset), mask, offset) == data
    assert unmask(data, mask) == unmask_or_not(data, mask)
