"""The time of day is believed once it has run for a while without a step."""

import pytest

from agentbridged.machines.steadiness import STEP, Steadiness


def test_it_is_as_old_as_the_first_look() -> None:
    clock = Steadiness()
    assert clock.observe(wall=1e9, elapsed=5.0) == 0
    assert clock.observe(wall=1e9 + 100, elapsed=105.0) == 100


@pytest.mark.parametrize("step", [STEP + 1, -STEP - 1, 3600.0, -1e9])
def test_a_step_begins_it_anew_whichever_way(step: float) -> None:
    clock = Steadiness()
    clock.observe(wall=1e9, elapsed=0.0)
    assert clock.observe(wall=1e9 + 50 + step, elapsed=50.0) == 0
    assert clock.observe(wall=1e9 + 60 + step, elapsed=60.0) == 10


def test_a_slow_correction_is_no_step() -> None:
    clock = Steadiness()
    for n in range(10):
        steady = clock.observe(wall=1e9 + n * (1000 + STEP / 2), elapsed=n * 1000.0)
    assert steady == 9000
