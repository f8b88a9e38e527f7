import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbridged.proxy.prefix import find

THREAD = ("result", "thread", "id")
PATHS = frozenset({("id",), ("method",), THREAD})


def test_values_before_the_cut_are_found() -> None:
    text = json.dumps({"id": 7, "result": {"thread": {"id": "t-1", "turns": ["x" * 5000]}}})
    assert find(text[:300].encode(), PATHS) == {("id",): 7, THREAD: "t-1"}


@pytest.mark.parametrize(
    "text",
    [
        {"id": 'é\n"\\', "result": {"thread": {"id": "t"}}},
        {"result": {"other": {"thread": {"id": "no"}}, "thread": {"id": "t"}}, "id": -1},
        {"result": {"list": [{"thread": {"id": "no"}}], "thread": {"x": {"id": 1}, "id": "t"}}},
        {"method": "m", "result": {"thread": [{"id": "no"}]}},
        {"a": [[], {}, [1, "id"]], "id": "id", "result": {"thread": {"id": None}}},
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_at_every_cut_a_value_is_right_or_not_there(text: Any, indent: int | None) -> None:
    data = json.dumps(text, indent=indent, ensure_ascii=False).encode()
    whole: dict[tuple[str, ...], Any] = {}
    for path in PATHS:
        value: Any = text
        for member in path:
            value = value.get(member, KeyError) if isinstance(value, dict) else KeyError
        if value is not KeyError:
            whole[path] = value
    assert find(data, PATHS) == whole
    for cut in range(len(data)):
        assert find(data[:cut], PATHS).items() <= whole.items()


def test_a_number_at_the_cut_is_not_taken_for_its_beginning() -> None:
    assert find(b'{"id": 12', PATHS) == {}


@given(st.binary(max_size=200))
def test_nonsense_never_raises(data: bytes) -> None:
    find(data, PATHS)
    find(b'{"id":' + data, PATHS)


def test_absurd_depth_ends_the_reading() -> None:
    assert find(b"[" * 100_000, PATHS) == {}
