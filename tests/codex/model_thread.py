"""
One thread of the model of Codex: its queue, its turns, its history. See :mod:`tests.codex.model`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from agentbridged.errors import CodexError


def refuse(text: str) -> CodexError:
    return CodexError(-32600, text)


@dataclass
class Said:
    """A user message: who sent it (``None``: a person), and what it says."""

    id: str | None
    text: str


@dataclass
class ModelTurn:
    """A turn: what it has shown, and what it has taken in and not shown yet."""

    id: str
    unshown: list[Said]
    status: str = "inProgress"
    items: list[dict[str, Any]] = field(default_factory=list)
    started: int = field(default_factory=lambda: int(time.time()))
    """Unix seconds, whole ones as Codex has them."""

    @property
    def asked(self) -> bool:
        """Whether it has shown a message of Claude's: what it says from then on is for Claude."""
        return any(item.get("clientId") for item in self.items)

    def told(self, view: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "status": self.status,
            "startedAt": self.started,
            "items": list(self.items) if view == "full" else [],
        }


class ModelThread:
    """A thread; everything in it but ``loaded`` outlives the app-server's process."""

    def __init__(
        self, id: str, cwd: str, file: Path, tell: Callable[..., None], number: Callable[[], int]
    ) -> None:
        self.id = id
        self.cwd = cwd
        self.file = file
        """Its history, as the next process gives it to its model."""
        file.touch()
        self._tell = tell
        self._number = number
        self.created: int | None = None
        """The Unix time when somebody started it."""
        self.loaded = False
        self.queue: list[tuple[str, Said]] = []
        self.paused = False
        self.leaving: Said | None = None
        """It has left the queue, and its turn has not begun."""
        self.turns: list[ModelTurn] = []
        self.answers: dict[str, bool] = {}
        """All that it said, in order, and whether that is for Claude."""
        self.swallowed = False
        """A turn was stopped before it had shown all that it had taken in."""
        self.noted: dict[str, ModelTurn] = {}
        """The messages in the history by their ids, in order, each with its turn."""
        self.waits_for_ever: set[str] = set()
        """Entries that were put into a queue known to be paused: who put them is to start them."""

    @property
    def running(self) -> ModelTurn | None:
        newest = self.turns[-1] if self.turns else None
        return newest if newest is not None and newest.status == "inProgress" else None

    @property
    def busy(self) -> bool:
        return self.running is not None or self.leaving is not None

    @property
    def held(self) -> list[str]:
        """The ids of the messages that it has, or is about to have, in its history."""
        taken = [said for _, said in self.queue] + ([self.leaving] if self.leaving else [])
        taken += self.running.unshown if self.running else []
        return [*self.noted, *(said.id for said in taken if said.id)]

    # What a person and the model do

    def opens(self) -> None:
        """Somebody starts it, which all are told, or resumes it: they hear of its status alone."""
        if self.loaded:
            return
        self.loaded = True
        if self.created is None:
            self.created = int(time.time())
            self._tell("thread/started", thread=self.told)
        else:
            self._status("idle")

    def closes(self) -> None:
        """Nobody was subscribed for a minute, and nothing ran."""
        self.loaded = False
        self._status("notLoaded")
        self._tell("thread/closed")

    def types(self, said: Said) -> None:
        """``turn/start``: on a running turn it is a steer."""
        if self.running is not None:
            self.running.unshown.append(said)
        else:
            self._begin(said)

    def goes_on(self, end: str) -> None:
        """The next thing that it has to do, if there is any."""
        turn = self.running
        if turn is None:
            self.begins_next() if self.leaving else self.takes_next()
        elif turn.unshown:
            self.shows()
        elif turn.items[-1]["type"] == "userMessage":
            self._answers(f"answer {self._number()}")
        else:
            self.ends(end)

    def shows(self) -> None:
        """The running turn shows the next message that it took in."""
        said = self._notes()
        content = [{"type": "text", "text": said.text}]
        self._item({"type": "userMessage", "clientId": said.id, "content": content})

    def _notes(self) -> Said:
        """The running turn notes the next message in the history, and is about to show it."""
        assert self.running is not None
        said = self.running.unshown.pop(0)
        payload = {
            "role": "user",
            "content": [{"type": "input_text", "text": said.text}],
            "internal_chat_message_metadata_passthrough": {"turn_id": self.running.id},
        }
        with self.file.open("ab") as file:
            file.write(msgspec.json.encode({"type": "response_item", "payload": payload}) + b"\n")
        if said.id:
            self.noted[said.id] = self.running
        return said

    def _answers(self, text: str) -> None:
        assert self.running is not None
        self.answers[text] = self.running.asked
        self._item({"type": "agentMessage", "text": text, "phase": "final_answer"})

    def ends(self, status: str) -> None:
        """The running turn ends; after a stop the queue is paused until a turn completes."""
        turn = self.running
        assert turn is not None
        assert status == "interrupted" or not turn.unshown
        self.swallowed |= bool(turn.unshown)
        turn.status, turn.unshown = status, []
        self.paused = status == "interrupted" or (self.paused and status != "completed")
        self._status("idle")
        self._tell("turn/completed", turn=turn.told("summary"))

    def takes_next(self) -> None:
        """The head of the queue leaves it; its turn begins a moment later."""
        if self.loaded and self.queue and not self.paused and not self.busy:
            _, self.leaving = self.queue.pop(0)

    def begins_next(self) -> None:
        if self.leaving is not None:
            said, self.leaving = self.leaving, None
            self.types(said)

    def dies(self, *, noting: bool) -> None:
        """``kill -9``: the running turn is stopped, and nothing is loaded until it is resumed."""
        self.begins_next()
        if self.running is not None:
            if noting and self.running.unshown:
                self._notes()
            self.ends("interrupted")
            self.paused = False
        self.loaded = False

    def _begin(self, said: Said) -> None:
        turn = ModelTurn(f"t{self._number()}", [said])
        self.turns.append(turn)
        self._status("active")
        self._tell("turn/started", turn=turn.told("summary"))

    def _item(self, item: dict[str, Any]) -> None:
        assert self.running is not None
        shown = {"id": f"i{self._number()}", **item}
        self.running.items.append(shown)
        self._tell("item/completed", turnId=self.running.id, item=shown)

    def _status(self, status: str) -> None:
        self._tell("thread/status/changed", status={"type": status})

    # What a client asks

    @property
    def told(self) -> dict[str, Any]:
        status = "notLoaded" if not self.loaded else "active" if self.running else "idle"
        told = {"id": self.id, "cwd": self.cwd, "path": str(self.file), "createdAt": self.created}
        return {**told, "status": {"type": status}}

    def answer(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Do what is asked, and return the result; raises :exc:`CodexError`."""
        return dict(getattr(self, "_on_" + method.replace("/", "_"))(params))

    def _on_thread_read(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"thread": self.told}

    _on_thread_unsubscribe = _on_thread_read

    def _on_thread_resume(self, _: dict[str, Any]) -> dict[str, Any]:
        self.opens()
        return {"thread": self.told}

    def _on_thread_turns_list(self, params: dict[str, Any]) -> dict[str, Any]:
        newest_first = self.turns[::-1]
        begin = int(params["cursor"] or 0)
        end = begin + params["limit"]
        page = [turn.told(params["itemsView"]) for turn in newest_first[begin:end]]
        return {"data": page, "nextCursor": str(end) if end < len(newest_first) else None}

    def _on_thread_queue_list(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"data": [{"id": e, "clientUserMessageId": said.id} for e, said in self.queue]}

    def _on_thread_queue_add(self, params: dict[str, Any]) -> dict[str, Any]:
        """Also when it is not loaded (measured, 0.169.0): then it waits until it is."""
        entry, id = f"q{self._number()}", params["clientUserMessageId"]
        self.queue.append((entry, Said(id, params["input"][0]["text"])))
        if self.paused and not self.busy and params["told"]:
            self.waits_for_ever.add(entry)
        return {"queuedSubmission": {"id": entry, "clientUserMessageId": id}}

    def _on_thread_queue_start(self, params: dict[str, Any]) -> dict[str, Any]:
        for place, (entry, said) in enumerate(self.queue):
            if entry == params["queuedSubmissionId"] and not self.busy and self.loaded:
                del self.queue[place]
                self.leaving = said
                return {}
        raise refuse("no such queued submission, a turn is running, or it is not loaded")

    def _on_turn_start(self, params: dict[str, Any]) -> dict[str, Any]:
        self._must_be_loaded()
        self.begins_next()
        self.types(Said(params["clientUserMessageId"], params["input"][0]["text"]))
        return {"turn": self.turns[-1].told("notLoaded")}

    def _on_turn_steer(self, params: dict[str, Any]) -> dict[str, Any]:
        self._must_run(params["expectedTurnId"])
        self.types(Said(params["clientUserMessageId"], params["input"][0]["text"]))
        return {}

    def _on_turn_interrupt(self, params: dict[str, Any]) -> dict[str, Any]:
        self._must_run(params["turnId"])
        self.ends("interrupted")
        return {}

    def _must_be_loaded(self) -> None:
        if not self.loaded:
            raise refuse(f"thread not found: {self.id}")

    def _must_run(self, turn_id: str) -> None:
        self._must_be_loaded()
        if self.running is None or self.running.id != turn_id:
            raise refuse("no active turn to steer")
