"""The admin API's params and results."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbridged.wire import admin


def test_a_message_is_from_somebody_on_the_wire() -> None:
    message = admin.Message(
        id="ab-1",
        bridge="a-1",
        seq=1,
        direction="to_codex",
        sender="claude",
        text="t",
        state="accepted",
        thread_id=None,
        turn_id=None,
        in_reply_to=None,
        prompts=[],
        created_at="",
        changed_at="",
    )
    wire = msgspec.json.encode(message)
    assert b'"from":"claude"' in wire
    assert b'"turn_id":null' in wire
    assert msgspec.json.decode(wire, type=admin.Message) == message


@pytest.mark.parametrize(
    ("kind", "json"),
    [
        (admin.Params, b'{"x":1}'),
        (admin.BridgeParams, b'{"brigde":"a"}'),
        (admin.SwitchParams, b'{"all":"yes"}'),
        (admin.ListParams, b'{"limit":0}'),
        (admin.ListParams, b'{"limit":1001}'),
        (admin.ListParams, b'{"before_seq":-1}'),
        (admin.SearchParams, b'{"query":""}'),
        (admin.ExplainParams, b"{}"),
    ],
)
def test_what_no_verb_means_is_refused(kind: type[admin.Params], json: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(json, type=kind)


def test_the_longest_text_fits_a_line_however_it_is_written() -> None:
    text = "\N{EURO SIGN}" * 1_000_000
    assert len(msgspec.json.encode({"text": text})) < admin.LINE_LIMIT


def test_times_are_utc_with_milliseconds() -> None:
    assert admin.utc(0) == "1970-01-01T00:00:00.000Z"
    assert admin.utc(1795341787.25) == "2026-11-22T10:03:07.250Z"


@given(st.floats(min_value=0, max_value=4e9), st.floats(min_value=0, max_value=4e9))
def test_times_sort_as_they_passed(one: float, two: float) -> None:
    if one <= two:
        assert admin.utc(one) <= admin.utc(two)
