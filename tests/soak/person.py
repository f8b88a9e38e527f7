"""The person of a soak: writes to both agents through the admin door, and types in Codex."""

from __future__ import annotations

import json
import random
import socket
import threading
from contextlib import suppress
from pathlib import Path

from tests.lab.scripted import Json
from tests.lab.waiting import NeverHappened
from tests.soak.books import Mail, Way
from tests.soak.scene import Scene

PATIENCE = 5.0
"""Seconds for an answer at the admin door; past that it is asked again with the same key."""
TYPE_EVERY = 12.0
"""Seconds, about, between two lines typed in Codex."""


class Line:
    """One connection to the admin door that stays, and is made anew when it breaks."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket: socket.socket | None = None

    def ask(self, method: str, **params: object) -> Json:
        """Call a verb; raises :exc:`OSError` or :exc:`ValueError` when no answer came."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX)
                self._socket.connect(str(self._path))
                self._socket.settimeout(PATIENCE)
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            data = b""
            while not data.endswith(b"\n"):
                more = self._socket.recv(65536)
                if not more:
                    raise ConnectionError("the admin door closed")
                data += more
            answer: Json = json.loads(data)
            return answer
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close it; the next question opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class Person:
    """Two threads: one writes, one types."""

    def __init__(self, scene: Scene, dice: random.Random, pause: float) -> None:
        self.scene, self.dice, self._pause = scene, dice, pause
        self.typed = 0
        self.enough = threading.Event()
        """Set to end both."""
        self.typing = threading.Lock()
        """Held while a terminal is typed in, opened or closed."""
        self._line = Line(scene.admin_socket)
        self._again: list[Mail] = []
        self._threads = [
            threading.Thread(target=work, daemon=True) for work in (self._write, self._type)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End; what is in doubt has been asked again until it was not."""
        self.enough.set()
        for thread in self._threads:
            thread.join()
        self._line.close()

    def _write(self) -> None:
        while not (self.enough.is_set() and not self._again):
            if self._again:
                self.send(self._again.pop())
            elif self.scene.traffic.open.is_set():
                self.write()
            self.enough.wait(self.dice.uniform(0, 2 * self._pause))

    def write(self) -> None:
        """Write something new to one of the agents."""
        way: Way = self.dice.choice(("to_codex", "to_claude"))
        project = str(self.dice.choice(self.scene.projects))
        self.send(self.scene.books.write(project, way, "person"))

    def write_to_claude(self, project: str) -> None:
        """Write something new to one Claude."""
        self.send(self.scene.books.write(project, "to_claude", "person"))

    def send(self, mail: Mail) -> None:
        """Send, and write down what came of it."""
        books = self.scene.books
        mail.tries += 1
        try:
            answer = self._line.ask(
                "message.send",
                project_dir=mail.bridge,
                text=mail.text,
                to=mail.way.removeprefix("to_"),
                idempotency_key=mail.nonce,
            )
        except (OSError, ValueError) as error:
            books.told(mail.nonce, "unknown", repr(error))
            self._again.append(mail)
            return
        if "result" in answer:
            books.told(mail.nonce, "accepted", answer["result"]["id"])
        else:
            books.told(mail.nonce, "refused", str(answer["error"]["message"]))

    def _type(self) -> None:
        while not self.enough.wait(self.dice.uniform(0, 2 * TYPE_EVERY)):
            if self.scene.traffic.open.is_set():
                with self.typing, suppress(NeverHappened, KeyError, RuntimeError):
                    self.scene.codexes[self.dice.choice(self.scene.projects)].say("go on")
                    self.typed += 1
