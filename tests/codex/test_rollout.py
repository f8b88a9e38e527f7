"""A message that is in a thread's history although no turn shows it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from agentbridged.codex import rollout
from agentbridged.codex.thread import headline
from agentbridged.machines.delivery import Mail
from tests.codex.conftest import RealServer
from tests.codex.desk import Desk, away_after
from tests.codex.memory import Memory
from tests.lab.responses import text_of

HEAD = headline("ab-1")
TEXT = f"{HEAD}from Claude Code:\n\n%hold gate half of it"


def line(text: str = TEXT, **others: object) -> str:
    payload = {
        "type": "message",
        "role": "user",
        "content": [{"type": "input_text", "text": text}],
        "internal_chat_message_metadata_passthrough": {"turn_id": "u1", "create_time": 1.5},
    }
    return json.dumps({"ordinal": 1, "type": "response_item", "payload": payload | others})


def item_completed() -> str:
    item = {"type": "UserMessage", "client_id": "ab-1", "content": [{"text": TEXT}]}
    payload = {"type": "item_completed", "turn_id": "u1", "item": item}
    return json.dumps({"type": "event_msg", "payload": payload})


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([line("hello"), line()], "u1"),
        ([line(), line()[:-40]], "u1"),
        ([line(internal_chat_message_metadata_passthrough=None)], ""),
        ([line()[:-40]], None),
        ([item_completed()], None),
        ([line(role="assistant")], None),
        ([line(f"what is {HEAD}?")], None),
        ([line(headline("ab-11") + "…")], None),
        ([f'{{"type":"response_item","payload":"{HEAD}"}}', HEAD, ""], None),
        ([], None),
    ],
)
def test_a_message_is_in_the_history_only_as_a_user_message(
    tmp_path: Path, lines: list[str], found: str | None
) -> None:
    path = tmp_path / "rollout.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    assert rollout.turns_with(path, ["ab-1", "ab-2"]).get("ab-1") == found


def test_a_line_that_was_cut_off_within_a_character_tells_nothing(tmp_path: Path) -> None:
    path = tmp_path / "rollout.jsonl"
    path.write_bytes(f'{{"text":"{HEAD}é'.encode()[:-1] + line().encode() + b"\n" + line().encode())
    assert rollout.turns_with(path, ["ab-1"]) == {"ab-1": "u1"}


def test_of_a_long_file_the_end_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rollout.jsonl"
    path.write_text(f"{line()}\n{line(HEAD.replace('ab-1', 'ab-2'))}\n", encoding="utf-8")
    monkeypatch.setattr(rollout, "TAIL", len(line()) + 20)
    assert rollout.turns_with(path, ["ab-1", "ab-2"]) == {"ab-2": "u1"}


def forget_that_it_was_shown(server: RealServer) -> None:
    """Leave behind what a kill between the two notes of the message does, and nothing later."""
    (path,) = (server.home / "sessions").rglob("*.jsonl")
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    noted = next(n for n, text in enumerate(lines) if HEAD in text)
    assert json.loads(lines[noted + 1])["payload"]["item"]["client_id"] == "ab-1"
    path.write_text("".join(lines[: noted + 1]), encoding="utf-8")
    for history in server.home.glob("thread_history_*"):  # which Codex makes from that file
        history.unlink()


@pytest.mark.realtime
@pytest.mark.end_to_end
async def test_what_codex_noted_before_it_was_killed_is_not_given_to_it_again(
    app_server: RealServer,
) -> None:
    owner = Memory(app_server.project)
    async with away_after(app_server, owner, "hello") as (_, thread_id):
        desk = Desk(app_server, owner, last=thread_id)
        async with desk.running():
            desk.send("ab-1", TEXT)
            await asyncio.to_thread(app_server.model.wait_until_held, "gate")
            app_server.kill()
    app_server.model.release("gate")
    forget_that_it_was_shown(app_server)
    app_server.start()
    owner.states.clear()
    owner.taken_once = [Mail("ab-1", TEXT)]
    desk = Desk(app_server, owner, last=thread_id)
    async with desk.running():
        await owner.until(lambda: owner.states.get("ab-1") == "consumed")
        desk.send("ab-2", "and this")
        await owner.until(lambda: "ECHO: and this" in owner.pushed())
    newest = app_server.model.prompts("and this")[-1]
    texts = [text_of(item) for item in newest["body"]["input"]]
    assert texts.count(TEXT) == 1
    assert "interrupted" in owner.ended or owner.unanswered
