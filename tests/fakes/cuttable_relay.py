"""
Passes bytes between two Unix sockets, and cuts who is told: ``cuttable_relay.py LISTEN TARGET``.

Each line on stdin is a command, answered by ``ok``: ``cut PID`` ends that process's connections,
and lets its next ones wait unanswered until ``pass``.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys


class Relay:
    """The connections, by the process at their other end."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._writers: dict[asyncio.StreamWriter, int] = {}
        self._cut: set[int] = set()
        self._passing = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection on, both ways."""
        credentials = writer.get_extra_info("socket").getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")
        )
        pid, _, _ = struct.unpack("3i", credentials)
        while pid in self._cut:
            await self._passing.wait()
        up_reader, up_writer = await asyncio.open_unix_connection(self._target)
        self._writers[writer] = self._writers[up_writer] = pid
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._copy(reader, up_writer))
            tasks.create_task(self._copy(up_reader, writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            self._writers.pop(writer, None)
            writer.close()

    def obey(self) -> None:
        """Do what the next line on stdin says."""
        command = sys.stdin.readline().split()
        if not command:
            os._exit(0)
        if command[0] == "cut":
            pid = int(command[1])
            self._cut.add(pid)
            for writer, peer in list(self._writers.items()):
                if peer == pid:
                    writer.transport.abort()
        else:
            self._cut.clear()
            self._passing.set()
            self._passing = asyncio.Event()
        print("ok", flush=True)


async def main(listen: str, target: str) -> None:
    """Serve until stdin ends."""
    relay = Relay(target)
    async with await asyncio.start_unix_server(relay.serve, listen) as server:
        os.chmod(listen, 0o600)
        asyncio.get_running_loop().add_reader(sys.stdin, relay.obey)
        print("ok", flush=True)
        await server.serve_forever()


asyncio.run(main(*sys.argv[1:]))
