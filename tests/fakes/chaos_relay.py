"""
Passes bytes between two Unix sockets, and does to them what a test says: ``LISTEN TARGET [WAIT]``.

WAIT is how many seconds a connection waits for somebody to listen at TARGET. Each line on stdin is
a command, answered by ``ok``, or ``ok`` and what was asked for. WHO is the pid at a connection's
near end, or ``all``; WAY is ``up`` (to TARGET), ``down`` or ``both``.

    peers                 the pids of the connections, in the order they came
    cut WHO               end its connections at once, as a crash at both ends would
    half WAY WHO          pass on nothing more that way, and say that it has ended
    stall WAY WHO         let it pass nothing that way; what is written piles up
    delay SECONDS         each piece waits that long, of whatever connection
    dribble               each byte goes alone
    storm SEED            each piece is split, delayed, and at times its connection cut, by dice
    double WHO            open one more connection to TARGET, and say on it what WHO opened with
    bar WHO               its next connections wait unanswered
    calm                  end all of this; what was cut stays cut
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import struct
import sys
from collections.abc import Callable, Iterator

CHUNK = 65536
RETRY = 0.02
UP, DOWN = "up", "down"
WAYS = {UP: (UP,), DOWN: (DOWN,), "both": (UP, DOWN)}
CUT_ONE_IN = 400
"""Of a storm's pieces."""
LONGEST_DELAY = 0.03
"""Seconds a piece may be late in a storm."""


class Weather:
    """What happens to every connection alike."""

    def __init__(self) -> None:
        self.delay = 0.0
        self.dribble = False
        self.dice: random.Random | None = None
        self.barred: set[str] = set()
        self.passing = asyncio.Event()

    def calm(self) -> None:
        """All is well again; who was barred may go on."""
        self.delay, self.dribble, self.dice = 0.0, False, None
        self.barred.clear()
        self.passing.set()
        self.passing = asyncio.Event()

    def bars(self, pid: int) -> bool:
        """Whether a connection of this process must wait."""
        return bool(self.barred & {"all", str(pid)})

    def pieces(self, data: bytes) -> Iterator[tuple[bytes, float]]:
        """Split what came into what goes on, each piece with the seconds it waits first."""
        dice = self.dice
        if self.dribble:
            yield from ((data[n : n + 1], self.delay) for n in range(len(data)))
        elif dice is None:
            yield data, self.delay
        else:
            while data:
                size = dice.choice((1, 7, 100, CHUNK))
                yield data[:size], dice.choice((0.0, 0.0, dice.random() * LONGEST_DELAY))
                data = data[size:]

    def cuts(self) -> bool:
        """Whether the dice say that this piece is its connection's last."""
        return self.dice is not None and self.dice.randrange(CUT_ONE_IN) == 0


class Line:
    """One connection, both ways."""

    def __init__(
        self,
        weather: Weather,
        near: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        far: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        pid: int,
    ) -> None:
        self.pid = pid
        self.opening = b""
        """What the near end said before the far end had spoken twice."""
        self._answers = 0
        self._weather = weather
        self._ways = {UP: (near[0], far[1]), DOWN: (far[0], near[1])}
        self._open = {UP: asyncio.Event(), DOWN: asyncio.Event()}
        self._ended: set[str] = set()
        self.go()

    async def run(self) -> None:
        """Pass on bytes until both ends have said their last."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for way in (UP, DOWN):
                    tasks.create_task(self._copy(way))
        except* (OSError, EOFError):
            pass
        finally:
            self.cut()

    async def _copy(self, way: str) -> None:
        reader, writer = self._ways[way]
        while data := await reader.read(CHUNK):
            self._note(way, data)
            for piece, wait in self._weather.pieces(data):
                if wait:
                    await asyncio.sleep(wait)
                await self._open[way].wait()
                if way in self._ended:
                    break
                if self._weather.cuts():
                    raise EOFError
                writer.write(piece)
                await writer.drain()
                if len(piece) < len(data):
                    await asyncio.sleep(0)  # else the pieces of one turn are joined again
        self.half_close(way)

    def _note(self, way: str, data: bytes) -> None:
        if way == DOWN:
            self._answers += 1
        elif self._answers < 2 and len(self.opening) < CHUNK:
            self.opening += data

    def stall(self, way: str) -> None:
        """Let nothing pass that way."""
        self._open[way].clear()

    def go(self) -> None:
        """Let all pass."""
        for way in self._open.values():
            way.set()

    def half_close(self, way: str) -> None:
        """Say that nothing more comes that way."""
        if way not in self._ended:
            self._ended.add(way)
            with contextlib.suppress(OSError):
                self._ways[way][1].write_eof()

    def cut(self) -> None:
        """End it, whatever is still on its way."""
        for _, writer in self._ways.values():
            writer.transport.abort()


class Relay:
    """All connections, and the commands."""

    def __init__(self, target: str, patience: float) -> None:
        self._target = target
        self._patience = patience
        self._weather = Weather()
        self._lines: list[Line] = []
        self._doubles: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection on."""
        credentials = writer.get_extra_info("socket").getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")
        )
        pid, _, _ = struct.unpack("3i", credentials)
        while self._weather.bars(pid):
            await self._weather.passing.wait()
        try:
            far = await self._connect()
        except OSError:
            writer.transport.abort()
            return
        line = Line(self._weather, (reader, writer), far, pid)
        self._lines.append(line)
        try:
            await line.run()
        finally:
            self._lines.remove(line)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        until = asyncio.get_running_loop().time() + self._patience
        while True:
            try:
                return await asyncio.open_unix_connection(self._target)
            except OSError:
                if asyncio.get_running_loop().time() >= until:
                    raise
                await asyncio.sleep(RETRY)

    def obey(self, line: str) -> str:
        """Do what a line says; returns the answer."""
        command, *arguments = line.split()
        obeyed: dict[str, Callable[..., str | None]] = {
            "peers": self._peers,
            "cut": self._cut,
            "half": self._half,
            "stall": self._stall,
            "delay": self._delay,
            "dribble": self._dribble,
            "storm": self._storm,
            "double": self._double,
            "bar": self._bar,
            "calm": self._calm,
        }
        return f"ok {obeyed[command](*arguments) or ''}".rstrip()

    def _of(self, who: str) -> list[Line]:
        return [line for line in self._lines if who in ("all", str(line.pid))]

    def _peers(self) -> str:
        return " ".join(str(line.pid) for line in self._lines)

    def _cut(self, who: str) -> None:
        for line in self._of(who):
            line.cut()

    def _half(self, way: str, who: str) -> None:
        for line in self._of(who):
            for one in WAYS[way]:
                line.half_close(one)

    def _stall(self, way: str, who: str) -> None:
        for line in self._of(who):
            for one in WAYS[way]:
                line.stall(one)

    def _delay(self, seconds: str) -> None:
        self._weather.delay = float(seconds)

    def _dribble(self) -> None:
        self._weather.dribble = True

    def _storm(self, seed: str) -> None:
        self._weather.dice = random.Random(seed)

    def _bar(self, who: str) -> None:
        self._weather.barred.add(who)

    def _calm(self) -> None:
        self._weather.calm()
        for line in self._lines:
            line.go()

    def _double(self, who: str) -> None:
        for line in self._of(who):
            task = asyncio.ensure_future(self._say_again(line.opening))
            self._doubles.add(task)
            task.add_done_callback(self._doubles.discard)

    async def _say_again(self, opening: bytes) -> None:
        with contextlib.suppress(OSError):
            reader, writer = await self._connect()
            writer.write(opening)
            while await reader.read(CHUNK):
                pass
            writer.close()


async def main(listen: str, target: str, patience: str = "0") -> None:
    """Serve until stdin ends."""
    relay = Relay(target, float(patience))

    def read() -> None:
        line = sys.stdin.readline()
        if not line:
            os._exit(0)
        print(relay.obey(line), flush=True)

    async with await asyncio.start_unix_server(relay.serve, listen) as server:
        os.chmod(listen, 0o600)
        asyncio.get_running_loop().add_reader(sys.stdin, read)
        print("ok", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
