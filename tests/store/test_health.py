"""One place knows whether the store can keep what is said."""

from pathlib import Path

from agentbridged.store.health import Health
from tests.store.clock import Clock


def test_a_spell_begins_with_its_first_failure_and_each_change_is_told_once(clock: Clock) -> None:
    health = Health(clock)
    told: list[str] = []
    health.changed = lambda: told.append(health.state)
    assert health.ok
    health.fail("refusing", "the disk is full")
    began = clock.now
    clock.now += 60
    health.fail("refusing", "the disk is full")
    health.fail("memory", "the file is gone")
    assert (health.state, health.since, health.reason) == ("memory", began, "the file is gone")
    health.mend()
    assert (health.ok, health.since, health.reason, health.mends) == (True, None, "", 1)
    assert told == ["refusing", "memory", "ok"]


def test_what_was_put_aside_and_what_was_lost_stay_to_be_told(clock: Clock) -> None:
    health = Health(clock)
    health.put_aside(Path("/s/a.db.damaged-1"))
    health.lost("it was damaged")
    health.mend()
    assert health.facts() == {
        "state": "ok",
        "reason": "",
        "kept_aside": ["/s/a.db.damaged-1"],
        "loss": "it was damaged",
    }
