"""
A scripted mock of OpenAI's Responses API, so that the real Codex runs without a model.

The last user message of a request decides the reply. Its lines that begin with ``%`` (or ``!``,
which the TUI itself takes for its shell mode) are the script; without one the reply is
``ECHO: <message>``. A reply plays all directives up to the next tool call; what follows is played
once the tool's output came back. A request for a JSON object (the TUI's hidden thread that makes
a title) is answered with one that fits.

    %say TEXT                  a message (``\\n`` is a newline)
    %commentary TEXT           a message of phase "commentary"
    %final TEXT                a message of phase "final_answer"
    %hold NAME TEXT            a message that stops in its middle until the test releases NAME
    %slow N MS TEXT            a message of TEXT and N words, MS milliseconds apart
    %big KIB                   a message of that many kibibytes
    %pause MS                  nothing for so many milliseconds
    %none                      nothing at all
    %shell COMMAND             run a command in the sandbox
    %esc COMMAND               run a command outside it: Codex asks for approval
    %fail MESSAGE              the model fails
    %drop WORDS                stream some words, then cut the connection
    %http STATUS               answer the request with this status
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

from tests.lab.scripted import Gone, Json, MockHandler, MockModel, halves

Step = tuple[str, str]
TOOLS = {"shell", "esc"}
PHASES: dict[str, str | None] = {
    "say": None,
    "commentary": "commentary",
    "final": "final_answer",
}

_numbers = itertools.count(1)


def _fresh(prefix: str) -> str:
    return f"{prefix}_mock{next(_numbers):06d}"


class ResponsesModel(MockModel):
    """The model Codex talks to."""

    def __init__(self) -> None:
        super().__init__(_Handler)

    def choose(self, body: Json, user: str, outputs: list[str]) -> list[Step]:
        """Give what one response plays, as names and arguments of directives."""
        return _choose(body, user, outputs)

    def wait_for_prompt(self, text: str, *, explain: Callable[[], str] | None = None) -> Json:
        """Wait until Codex asked its model about a user message that holds this text."""
        return self.wait_for(
            lambda request: text in request["user"] and not request["hidden"],
            f"Codex was given {text!r}",
            explain=explain,
        )

    def prompts(self, text: str) -> list[Json]:
        """Return the requests whose last user message holds this text."""
        return [r for r in self.requests() if text in r["user"] and not r["hidden"]]


def text_of(item: Json) -> str:
    content = item.get("content")
    if isinstance(content, str):
        return content
    return "\n".join(p["text"] for p in content or [] if isinstance(p.get("text"), str))


def _output(item: Json) -> str:
    output = item.get("output")
    if isinstance(output, list):
        return "\n".join(part.get("text", "") for part in output)
    return output if isinstance(output, str) else json.dumps(output)


def _last_exchange(body: Json) -> tuple[str, list[str]]:
    """Give the last user message, and the tool outputs that came after it."""
    user = ""
    outputs: list[str] = []
    for item in body.get("input") or []:
        kind = item.get("type", "message")
        if kind == "message" and item.get("role") == "user":
            user, outputs = text_of(item), []
        elif kind.endswith("_output"):
            outputs.append(_output(item))
    return user, outputs


def _example(schema: Json) -> Any:
    """Give a minimal value of the small JSON schemas that Codex sends."""
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            return {k: _example(v) for k, v in (schema.get("properties") or {}).items()}
        case "array":
            return []
        case "integer" | "number":
            return schema.get("minimum", 0)
        case "boolean":
            return False
        case _:
            return "Hidden title"[: schema.get("maxLength", 100)]


def _parse(text: str) -> list[Step]:
    steps = []
    for line in map(str.strip, text.splitlines()):
        if len(line) > 1 and line[0] in "!%" and line[1].isalpha():
            name, _, argument = line[1:].partition(" ")
            steps.append((name.lower(), argument.strip()))
    return steps


def _wanted_object(body: Json) -> Json | None:
    form = (body.get("text") or {}).get("format") or {}
    return form.get("schema") or {} if form.get("type") == "json_schema" else None


def _choose(body: Json, user: str, outputs: list[str]) -> list[Step]:
    """Give the part of the script that this response must play."""
    schema = _wanted_object(body)
    if schema is not None:
        return [("say", json.dumps(_example(schema)))]
    parts: list[list[Step]] = [[]]
    for step in _parse(user):
        parts[-1].append(step)
        if step[0] in TOOLS:
            parts.append([])
    parts = [part for part in parts if part]
    if len(outputs) < len(parts):
        return parts[len(outputs)]
    return [("say", f"TOOL OUTPUT: {outputs[-1][:2000]}" if outputs else f"ECHO: {user}")]


class _Reply:
    """One response, written as server-sent events."""

    def __init__(self, handler: MockHandler, body: Json) -> None:
        self.handler, self.body, self.model = handler, body, handler.model
        self.identity = _fresh("resp")
        self.output: list[Json] = []
        self._numbers = itertools.count()

    def play(self, steps: list[Step]) -> None:
        self._event("response.created", response=self._response("in_progress"))
        for name, argument in steps:
            if name == "fail":
                failed = self._response("failed")
                failed["error"] = {"code": "mock_error", "message": argument or "mock failure"}
                return self._event("response.failed", response=failed)
            self._step(name, argument)
        self._event("response.completed", response=self._response("completed"))

    def _step(self, name: str, argument: str) -> None:
        match name:
            case "say" | "commentary" | "final":
                self._message(_words(argument.replace("\\n", "\n")), PHASES[name])
            case "hold":
                key, _, text = argument.partition(" ")
                self._message(self._held(key, text or "one two three four"))
            case "slow":
                count, _, rest = argument.partition(" ")
                milliseconds, _, text = rest.partition(" ")
                self._message(self._slowly(int(count), float(milliseconds or 100) / 1000, text))
            case "big":
                self._message("B" * 1023 + "\n" for _ in range(int(argument)))
            case "shell" | "esc":
                self._shell(argument, escalate=name == "esc")
            case "drop":
                self._message(self._cut(int(argument or 1)))
            case "pause" | "none":
                self.model.delay(float(argument or 0) / 1000)
            case _:
                self._message([f"MOCK: unknown directive {name}"])

    def _held(self, key: str, text: str) -> Iterator[str]:
        first, second = halves(text)
        yield first
        self.model.hold(key)
        yield second

    def _slowly(self, count: int, pause: float, text: str) -> Iterator[str]:
        if text:
            yield f"{text} "
        for number in range(count):
            yield f"w{number} "
            self.model.delay(pause)

    def _cut(self, count: int) -> Iterator[str]:
        yield from (f"w{number} " for number in range(count))
        raise Gone

    def _message(self, chunks: Iterable[str], phase: str | None = None) -> None:
        item: Json = {"type": "message", "id": _fresh("msg"), "role": "assistant", "content": []}
        item |= {"status": "in_progress"} | ({"phase": phase} if phase else {})
        where = {"output_index": len(self.output)}
        self._event("response.output_item.added", **where, item=item)
        text = ""
        for chunk in chunks:
            text += chunk
            self._event(
                "response.output_text.delta",
                **where,
                item_id=item["id"],
                content_index=0,
                delta=chunk,
            )
        content = [{"type": "output_text", "text": text, "annotations": []}]
        done = item | {"status": "completed", "content": content}
        self._event("response.output_item.done", **where, item=done)
        self.output.append(done)

    def _shell(self, command: str, *, escalate: bool) -> None:
        arguments: Json = {"cmd": command, "yield_time_ms": 60000}
        if escalate:
            arguments["sandbox_permissions"] = "require_escalated"
            arguments["justification"] = "the script asks for it"
        item = {
            "type": "function_call",
            "id": _fresh("fc"),
            "call_id": _fresh("call"),
            "name": "exec_command",
            "arguments": json.dumps(arguments),
            "status": "completed",
        }
        where = {"output_index": len(self.output)}
        self._event("response.output_item.added", **where, item=item)
        self._event("response.output_item.done", **where, item=item)
        self.output.append(item)

    def _response(self, status: str) -> Json:
        return {
            "id": self.identity,
            "object": "response",
            "created_at": int(time.time()),
            "status": status,
            "model": self.body.get("model"),
            "output": self.output,
            "usage": {
                "input_tokens": 10,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": 10,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": 20,
            },
        }

    def _event(self, kind: str, **data: Any) -> None:
        self.handler.event(kind, {"type": kind, "sequence_number": next(self._numbers), **data})


def _words(text: str) -> Iterator[str]:
    first, *others = text.split(" ")
    yield first
    yield from (f" {word}" for word in others)


class _Handler(MockHandler):
    model: ResponsesModel

    def do_GET(self) -> None:
        if urlsplit(self.path).path.endswith("/models"):
            # Codex asks for its own catalogue's shape; an empty list keeps the bundled one.
            return self.answer(200, {"models": [], "object": "list", "data": []})
        self.answer(404, {"error": {"message": f"mock: no {self.path}"}})

    def do_POST(self) -> None:
        raw = self.body()
        if not urlsplit(self.path).path.endswith("/responses"):
            return self.answer(404, {"error": {"message": f"mock: no {self.path}"}})
        body = json.loads(raw)
        user, outputs = _last_exchange(body)
        hidden = _wanted_object(body) is not None
        headers = {k: v for k, v in self.headers.items() if k.lower() != "authorization"}
        record = {"user": user, "outputs": outputs, "hidden": hidden, "headers": headers}
        self.model.record({**record, "body": body})
        steps = self.model.choose(body, user, outputs)
        if steps[0][0] == "http":
            return self.answer(int(steps[0][1] or 500), {"error": {"message": "mock error"}})
        self.begin_stream()
        try:
            _Reply(self, body).play(steps)
        except Gone:
            self.close_connection = True
