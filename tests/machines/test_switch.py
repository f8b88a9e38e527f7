import pytest

from agentbridged.machines.switch import TRANSITIONS, State, Verb, after, way_out


@pytest.mark.parametrize(
    ("state", "verb", "then"),
    [
        ("active", "kill", "killed"),
        ("paused", "kill", "killed"),
        ("killed", "revive", "active"),
        ("active", "pause", "paused"),
        ("paused", "resume", "active"),
        ("active", "revive", "active"),
        ("killed", "kill", "killed"),
    ],
)
def test_a_verb_leads_to_its_state(state: State, verb: Verb, then: State) -> None:
    assert after(state, verb) == then


@pytest.mark.parametrize(
    ("state", "verb"), [("killed", "pause"), ("killed", "resume"), ("paused", "revive")]
)
def test_no_verb_undoes_what_another_one_did(state: State, verb: Verb) -> None:
    assert after(state, verb) is None


@pytest.mark.parametrize("state", list(TRANSITIONS))
def test_every_state_has_a_way_back_to_active(state: State) -> None:
    assert after(state, way_out(state)) == "active"
