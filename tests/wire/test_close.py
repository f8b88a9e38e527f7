"""Close codes and what fits behind them."""

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import agentbridged
from agentbridged.wire.close import REASON_LIMIT, CloseCode, fit_reason


@pytest.mark.requirement("S1")
def test_the_numbers_are_the_contracts_and_private() -> None:
    assert {code.name: code.value for code in CloseCode} == {
        **{"REJECTED": 4001, "EVICTED": 4002, "KILLED": 4003},
        **{"CONTRACT": 4004, "NOT_ATTACHED": 4005},
    }


@pytest.mark.requirement("S1")
def test_no_other_module_writes_such_a_number_down() -> None:
    codes = {code.value for code in CloseCode}
    package = Path(agentbridged.__file__).parent
    written = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in codes
    }
    assert written == {"wire/close.py"}


@given(st.text(max_size=300))
def test_a_reason_is_cut_at_a_character_and_never_lengthened(text: str) -> None:
    short = fit_reason(text)
    assert len(short.encode()) <= REASON_LIMIT
    assert text.startswith(short)
    if len(text.encode()) <= REASON_LIMIT:
        assert short == text


def test_as_much_is_kept_as_fits() -> None:
    assert fit_reason("x" * 200) == "x" * 123
    assert fit_reason("\N{EURO SIGN}" * 100) == "\N{EURO SIGN}" * 41
    assert fit_reason("x" + "\N{EURO SIGN}" * 100) == "x" + "\N{EURO SIGN}" * 40
