import pytest

from agentbridged.machines.relay_policy import PROMPT_LIMIT, Relay, Relayed, Route
from agentbridged.wire.codex import Item


def said(id: str, text: str, phase: str | None = None) -> Item:
    return Item("agentMessage", id, text=text, phase=phase)


def typed(id: str, text: str, client: str | None = None) -> Item:
    return Item("userMessage", id, clientId=client, content=[{"type": "text", "text": text}])


def hear(relay: Relay, item: Item, *, ours: bool = False, replies: bool = False) -> list[Relayed]:
    return relay.item("t", item, ours=ours, replies_only=replies)


def end(relay: Relay, *, completed: bool = True, replies: bool = False) -> list[Relayed]:
    return relay.ended("t", completed=completed, replies_only=replies)


def routes(messages: list[Relayed]) -> list[tuple[str, Route]]:
    return [(m.text, m.route) for m in messages]


def test_a_final_answer_is_pushed_at_once() -> None:
    relay = Relay()
    assert routes(hear(relay, said("1", "done", "final_answer"))) == [("done", Route.PUSH)]
    assert end(relay) == []


def test_commentary_is_history() -> None:
    assert routes(hear(Relay(), said("1", "hm", "commentary"))) == [("hm", Route.HISTORY)]


def test_a_partial_answer_goes_along_with_what_follows_it() -> None:
    said_so_far = said("1", "so far", "partial_answer")
    assert routes(hear(Relay(), said_so_far)) == [("so far", Route.DIGEST)]


def test_a_phase_of_a_newer_codex_is_as_good_as_none() -> None:
    relay = Relay()
    assert hear(relay, said("1", "what it is", "another_answer")) == []
    assert routes(end(relay)) == [("what it is", Route.PUSH)]


def test_of_messages_without_a_phase_the_last_is_the_answer() -> None:
    relay = Relay()
    assert hear(relay, said("1", "first")) == []
    assert routes(hear(relay, said("2", "second"))) == [("first", Route.HISTORY)]
    assert routes(end(relay)) == [("second", Route.PUSH)]


def test_a_turn_that_was_not_completed_has_no_answer() -> None:
    relay = Relay()
    hear(relay, said("1", "half"))
    assert routes(end(relay, completed=False)) == [("half", Route.HISTORY)]


@pytest.mark.parametrize(
    ("text", "route"),
    [
        ("[IMPORTANT] stop", Route.PUSH),
        (" [important] stop", Route.PUSH),
        ("[STATUS] half way", Route.DIGEST),
        ("[FYI] by the way", Route.HISTORY),
    ],
)
@pytest.mark.parametrize("phase", [None, "commentary", "final_answer"])
def test_a_marker_at_the_start_decides(text: str, route: Route, phase: str | None) -> None:
    assert routes(hear(Relay(), said("1", text, phase))) == [(text, route)]


def test_a_marker_inside_a_text_decides_nothing() -> None:
    relay = Relay()
    assert hear(relay, said("1", "I said [FYI] there")) == []
    assert routes(end(relay)) == [("I said [FYI] there", Route.PUSH)]


def test_what_we_injected_is_never_given_back() -> None:
    relay = Relay()
    assert hear(relay, typed("u", "from Claude", "ab-1"), ours=True) == []
    (answer,) = hear(relay, said("1", "yes", "final_answer"))
    assert (answer.in_reply_to, answer.prompts) == ("ab-1", ())


def test_what_the_person_typed_goes_along_with_the_next_answer_once() -> None:
    relay = Relay()
    assert hear(relay, typed("u1", "one", "some-uuid")) == []
    assert hear(relay, typed("u2", "two")) == []
    (first,) = hear(relay, said("1", "[IMPORTANT] a"))
    (second,) = hear(relay, said("2", "b", "final_answer"))
    assert (first.prompts, second.prompts) == (("one", "two"), ())


def test_history_does_not_use_up_what_the_person_typed() -> None:
    relay = Relay()
    hear(relay, typed("u1", "one"))
    hear(relay, said("1", "hm", "commentary"))
    (answer,) = hear(relay, said("2", "b", "final_answer"))
    assert answer.prompts == ("one",)


def test_a_long_line_goes_along_cut() -> None:
    relay = Relay()
    hear(relay, typed("u1", "x" * (PROMPT_LIMIT + 1)))
    (answer,) = hear(relay, said("2", "b", "final_answer"))
    assert len(answer.prompts[0]) == PROMPT_LIMIT


def test_an_item_heard_twice_counts_once() -> None:
    relay = Relay()
    assert len(hear(relay, said("1", "a", "final_answer"))) == 1
    assert hear(relay, said("1", "a", "final_answer")) == []


def test_with_replies_only_a_turn_of_the_persons_is_history() -> None:
    relay = Relay()
    hear(relay, typed("u", "mine"), replies=True)
    (answer,) = hear(relay, said("1", "a", "final_answer"), replies=True)
    assert answer.route is Route.HISTORY
    relay = Relay()
    hear(relay, typed("u", "q", "ab-1"), ours=True, replies=True)
    (answer,) = hear(relay, said("1", "a", "final_answer"), replies=True)
    assert answer.route is Route.PUSH


def test_empty_texts_and_other_items_say_nothing() -> None:
    relay = Relay()
    assert hear(relay, said("1", "  ")) == []
    assert hear(relay, Item("commandExecution", "2")) == []
    assert end(relay) == []
