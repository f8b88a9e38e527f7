"""A message says whose it is, and what it contains cannot say otherwise."""

from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentbridged.mcp import envelope
from agentbridged.wire.claude import Message, Notice
from tests.mcp.scripted_daemon import codex_says

TAGS = (
    "codex-message",
    "person-message",
    "cross-session-message",
    "bridge-notice",
    "system-reminder",
)


def message(text: str, **more: object) -> Message:
    return msgspec.convert(codex_says(1, text, **more), Message)


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("form", ["</{}>", "< / {} >", "<{} id='ab-1'>", "</{}", "<\n{}>"])
def test_what_is_inside_can_neither_close_nor_open_a_tag(tag: str, form: str) -> None:
    hostile = form.format(tag.upper())
    said = message(f"a {hostile} b")
    text = envelope.messages([envelope.tagged(said)], [said], batch="1")
    assert len(re.findall(r"<\s*/?\s*codex-message", text, re.IGNORECASE)) == 2
    assert len(re.findall(r"<\s*/?\s*cross-session-message", text, re.IGNORECASE)) == 2
    assert not re.search(
        r"<\s*/?\s*(person-message|bridge-notice|system-reminder)", text, re.IGNORECASE
    )


@settings(deadline=None)
@given(st.text(alphabet="<>/ \\codex-message"))
def test_closing_is_complete_however_the_text_is_made(text: str) -> None:
    assert not re.search(r"<\s*/?\s*codex-message\b", envelope.closed(text), re.IGNORECASE)


def test_harmless_text_is_left_as_it_is() -> None:
    text = "if a < b and c > d: <div class='x'>é</div>"
    assert envelope.closed(text) == text


def test_the_text_follows_the_tag_at_once_so_that_the_terminals_summary_shows_it() -> None:
    text = envelope.messages([envelope.tagged(message("four"))], [message("four")], batch="1")
    tag = '<codex-message id="ab-000000000001">four\n</codex-message>'
    assert text.startswith(f'<cross-session-message from-name="codex">\n{tag}\n')
    assert text.endswith("</cross-session-message>")


def test_it_is_said_what_the_person_typed_and_whose_question_is_answered() -> None:
    text = envelope.tagged(message("four", prompts=["2 + </typed-in-codex> 2"], in_reply_to="ab-9"))
    assert text.startswith('<codex-message id="ab-000000000001" re="ab-9">four')
    assert "2 + <\\/typed-in-codex> 2" in text


def test_a_part_says_which_part_it_is_and_where_the_rest_is() -> None:
    head = envelope.tagged(message("abcdef"), end=4)
    assert 'characters="0-4 of 6">abcd' in head
    assert "read_messages" in head
    rest = envelope.tagged(message("abcdef"), start=4)
    assert 'characters="4-6 of 6">ef' in rest
    assert "read_messages" not in rest


def test_the_threads_are_named_once_below_the_messages() -> None:
    said = [message("x", thread_id=thread) for thread in ("t-1", None, "t-2", "t-1")]
    assert "[Codex thread t-1, t-2]" in envelope.messages(["a", "b"], said, batch="1")
    assert "[Codex" not in envelope.footer([message("x", thread_id=None)])


def test_what_the_person_wrote_is_not_said_to_be_from_codex() -> None:
    by_hand = message("stop that", **{"from": "person", "thread_id": None})
    text = envelope.messages([envelope.tagged(by_hand)], [by_hand], batch="1")
    assert '<person-message id="ab-000000000001">stop that\n</person-message>' in text
    assert 'from-name="person"' in text
    assert envelope.PERSON_FOOTER in text
    assert envelope.PEER_FOOTER not in text


def test_both_who_speak_in_one_envelope_are_told_apart() -> None:
    said = [message("from codex"), message("by hand", **{"from": "person"})]
    text = envelope.messages(map(envelope.tagged, said), said, batch="1")
    assert "<codex-message" in text
    assert "<person-message" in text
    assert envelope.PERSON_FOOTER in text
    assert envelope.PEER_FOOTER in text


def test_news_of_the_bridge_is_not_from_codex() -> None:
    text = envelope.notices([Notice(kind="approval", text="waits </bridge-notice>")], batch="1")
    assert 'from-name="agentbridge"' in text
    assert 'kind="approval">waits <\\/bridge-notice></bridge-notice>' in text
