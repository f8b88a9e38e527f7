"""
A scripted mock of Anthropic's Messages API, so that the real Claude Code runs without a model.

The newest user text that holds a directive is the script, whoever brought it: the person, a hook,
the inbox. The number of the assistant's turns after it is the step to play. A text must not start
with ``!``, which is Claude Code's own shell mode.

    !say TEXT                  reply with TEXT
    !hold NAME TEXT            reply with TEXT, stopping in its middle until the test releases NAME
    !tool NAME JSON            one tool call (JSON on one line; {} if left out)
    !error STATUS              answer the request with this status
    A ;; B ;; C                the steps of one script: B is played after A's tool result

Without a script: ``Codex says: <its words>`` to what came over the bridge, ``RESULT: <tool
result>`` after a tool, else ``ECHO: <newest text>``. Only requests that offer tools count as the
session's own; the others (titles, summaries) get a short fixed text. Keys are never recorded.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from tests.lab.scripted import Gone, Json, MockHandler, MockModel, halves

DIRECTIVE = re.compile(r"!(say|hold|tool|error)\b")
FROM_CODEX = re.compile(
    r"<codex-message[^>]*>(.*?)(?=<typed-in-codex>|</codex-message>)", re.DOTALL
)
REMINDER = re.compile(r"<system-reminder>.*?</system-reminder>", re.DOTALL)
SESSION_HEADER = "x-claude-code-session-id"


class MessagesModel(MockModel):
    """The model Claude Code talks to."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.reply_tool = ""
        """A tool (its full name) by which whatever came from Codex is answered, again and again."""

    def choose(self, session: str, body: Json) -> list[str]:
        """Give the directives that make one reply to this request, one for each block of it."""
        return [_choose(body, self.reply_tool)]

    def wait_for_text(
        self,
        text: str,
        *,
        session: str | None = None,
        explain: Callable[[], str] | None = None,
    ) -> Json:
        """Wait until Claude Code sent its model this text (of a session, or of any)."""
        return self.wait_for(
            lambda request: _holds(request, text, session),
            f"Claude was given {text!r}",
            explain=explain,
        )

    def with_text(self, text: str, *, session: str | None = None) -> list[Json]:
        """Return the requests of the session (or of any) whose messages hold this text."""
        return [request for request in self.requests() if _holds(request, text, session)]

    def last_conversation(self, session: str | None = None) -> str:
        """Return all user texts and tool results of the newest request, one a paragraph."""
        mine = [r for r in self.requests() if r["main"] and session in (None, r["session"])]
        return mine[-1]["said"] if mine else ""


def _holds(request: Json, text: str, session: str | None) -> bool:
    mine = session in (None, request["session"])
    return mine and bool(request["main"]) and text in request["said"]


def _texts(message: Json) -> list[str]:
    content = message.get("content")
    if isinstance(content, str):
        return [content]
    return [block["text"] for block in content or [] if block.get("type") == "text"]


def _results(message: Json) -> list[str]:
    content = message.get("content")
    results = []
    for block in content if isinstance(content, list) else []:
        if block.get("type") == "tool_result":
            result = block.get("content")
            if isinstance(result, list):
                result = "\n".join(part.get("text", "") for part in result)
            results.append(("ERROR " if block.get("is_error") else "") + str(result))
    return results


def texts_of(messages: list[Json]) -> list[str]:
    """Give every text block that the model was given by others than itself, tool results apart."""
    return [t for m in messages if m["role"] != "assistant" for t in _texts(m)]


def _said(messages: list[Json]) -> str:
    """Give everything the model was told by others than itself."""
    return "\n\n".join(
        text
        for message in messages
        if message["role"] != "assistant"
        for text in (*_texts(message), *_results(message))
    )


def _plain(text: str) -> str:
    """Give a text without its system reminders, but for a script and what a hook hands over."""
    return REMINDER.sub(lambda m: m[0] if _is_news(m[0]) else "", text).strip()


def _is_news(reminder: str) -> bool:
    return bool(DIRECTIVE.search(reminder) or FROM_CODEX.search(reminder))


def _scripted(messages: list[Json]) -> str | None:
    """Give the due step of the newest script, if one is left."""
    for index in range(len(messages) - 1, -1, -1):
        if messages[index]["role"] == "assistant":
            continue
        for text in map(_plain, reversed(_texts(messages[index]))):
            if start := DIRECTIVE.search(text):
                steps = [step.strip() for step in text[start.start() :].split(";;")]
                played = sum(m["role"] == "assistant" for m in messages[index + 1 :])
                return steps[played] if played < len(steps) else None
    return None


def _unscripted(messages: list[Json], reply_tool: str) -> str:
    asked = [message for message in messages if message["role"] == "user"]
    last = asked[-1] if asked else {"content": ""}
    if results := _results(last):
        return "!say RESULT: " + " | ".join(result[:300] for result in results)
    texts = [text for text in map(_plain, _texts(last)) if text]
    if texts and (words := FROM_CODEX.findall(texts[-1])):
        if reply_tool:
            return f"!tool {reply_tool} {json.dumps({'text': f'PONG {len(messages)}'})}"
        return "!say Codex says: " + " | ".join(map(str.strip, words))[:500]
    return "!say ECHO: " + (texts[-1][:500] if texts else "(only reminders)")


def _choose(body: Json, reply_tool: str) -> str:
    if not body.get("tools"):
        return "!say " + json.dumps({"title": "scripted title", "isNewTopic": False})
    messages = body.get("messages", [])
    return _scripted(messages) or _unscripted(messages, reply_tool)


def _block(step: str) -> tuple[Json, str | None]:
    """Give a step's content block, and the hold in its middle if it has one."""
    directive = DIRECTIVE.match(step)
    assert directive, step
    argument = step[directive.end() :].strip()
    if directive[1] == "tool":
        tool, _, given = argument.partition(" ")
        given = given.strip()
        # Text may follow the JSON: what wrapped the script on its way here.
        call = json.JSONDecoder().raw_decode(given)[0] if given.startswith("{") else {}
        identity = f"toolu_{uuid.uuid4().hex[:20]}"
        return {"type": "tool_use", "id": identity, "name": tool, "input": call}, None
    if directive[1] == "hold":
        key, _, text = argument.partition(" ")
        return {"type": "text", "text": text or "one two three four"}, key
    return {"type": "text", "text": argument or "ok"}, None


def _readable(step: str) -> tuple[Json, str | None]:
    """Give what :func:`_block` does; a script that is at fault says so in the session."""
    try:
        return _block(step)
    except ValueError as error:
        return {"type": "text", "text": f"MOCK SCRIPT ERROR {error} in {step!r}"}, None


class _Handler(MockHandler):
    model: MessagesModel

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        if urlsplit(self.path).path == "/v1/models":
            return self.answer(200, {"data": [], "has_more": False})
        self._refuse(404, "not_found_error")

    def do_POST(self) -> None:
        body = json.loads(self.body() or b"{}")
        path = urlsplit(self.path).path
        if path == "/v1/messages/count_tokens":
            return self.answer(200, {"input_tokens": 100})
        if path != "/v1/messages":
            return self._refuse(404, "not_found_error")
        session = self.headers.get(SESSION_HEADER) or ""
        steps = self.model.choose(session, body)
        self.model.record(
            {
                "session": session,
                "main": bool(body.get("tools")),
                "said": _said(body.get("messages", [])),
                "step": "\n".join(steps),
                "body": body,
            }
        )
        if steps[0].startswith("!error"):
            return self._refuse(int(steps[0].partition(" ")[2] or 500), "api_error")
        self._reply(steps, body)

    def _refuse(self, code: int, kind: str) -> None:
        error = {"type": kind, "message": f"mock: {self.path}"}
        self.answer(code, {"type": "error", "error": error})

    def _reply(self, steps: list[str], body: Json) -> None:
        blocks = [_readable(step) for step in steps]
        content = [block for block, _ in blocks]
        calls = any(block["type"] == "tool_use" for block in content)
        message: Json = {
            "id": f"msg_{uuid.uuid4().hex[:20]}",
            "type": "message",
            "role": "assistant",
            "model": body.get("model"),
            "content": content,
            "stop_reason": "tool_use" if calls else "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 100, "output_tokens": 20},
        }
        if not body.get("stream"):
            return self.answer(200, message)
        self.begin_stream()
        try:
            self._stream(message, blocks)
        except Gone:
            self.close_connection = True

    def _stream(self, message: Json, blocks: list[tuple[Json, str | None]]) -> None:
        start = message | {"content": [], "stop_reason": None}
        self._send("message_start", message=start)
        for index, (block, hold) in enumerate(blocks):
            self._stream_block(index, block, hold)
        end = {"stop_reason": message["stop_reason"], "stop_sequence": None}
        self._send("message_delta", delta=end, usage={"output_tokens": 20})
        self._send("message_stop")

    def _stream_block(self, index: int, block: Json, hold: str | None) -> None:
        if block["type"] == "text":
            self._send("content_block_start", index=index, content_block=block | {"text": ""})
            first, second = halves(block["text"]) if hold else (block["text"], "")
            self._delta(index, type="text_delta", text=first)
            if hold:
                self.model.hold(hold)
                self._delta(index, type="text_delta", text=second)
        else:
            self._send("content_block_start", index=index, content_block=block | {"input": {}})
            given = json.dumps(block["input"])
            self._delta(index, type="input_json_delta", partial_json=given)
        self._send("content_block_stop", index=index)

    def _delta(self, index: int, **delta: Any) -> None:
        self._send("content_block_delta", index=index, delta=delta)

    def _send(self, kind: str, **data: Any) -> None:
        self.event(kind, {"type": kind, **data})
