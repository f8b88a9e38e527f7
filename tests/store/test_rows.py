"""Rows are values."""

import dataclasses

import pytest

from agentbridged.store.rows import AttemptRow, Counts


def test_rows_are_frozen_and_compare_by_value() -> None:
    row = AttemptRow("ab-1", 1.0, "queue", "ok", "")
    assert row == AttemptRow("ab-1", 1.0, "queue", "ok", "")
    with pytest.raises(dataclasses.FrozenInstanceError):
        row.step = "steer"  # type: ignore[misc]
    assert Counts(1, 2, None) == Counts(1, 2, None)
