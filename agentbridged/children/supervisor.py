"""
Keeps one managed child as it is wanted: joins the machine that decides with the process.

The child's life does not hang on ours. When :meth:`Supervisor.run` is cancelled, or the daemon is
killed, the child goes on, and the next supervisor with the same record adopts it. Only
:meth:`Supervisor.stop` ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, assert_never

from agentbridged.children import process
from agentbridged.children.liveness import Identity, is_alive, wait_for_end
from agentbridged.children.process import Launch
from agentbridged.children.record import Record, load, save
from agentbridged.errors import AgentBridgeError
from agentbridged.machines.child import (
    EXITED,
    FATAL,
    STARTING,
    STOPPED,
    STOPPING,
    Command,
    Generation,
    ManagedChild,
    RestartPolicy,
    Signal,
    Spawn,
)

__all__ = ["ChildStatus", "Launch", "RestartPolicy", "Supervisor"]

READY_DELAYS: Final = (0.02, 0.05, 0.1, 0.2, 0.5)
"""Seconds between looks whether a child that starts is ready; the last is repeated."""

READY_PATIENCE: Final = 2.0
"""Seconds one such look may take."""

Happening = Callable[[asyncio.TaskGroup], list[Command]]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ChildStatus:
    """A child as people and programs are told of it."""

    state: str
    """Supervisor's word in capitals, such as ``RUNNING``."""
    pid: int | None
    generation: int
    restarts: int
    adopted: bool
    """A daemon before this one started it."""
    reason: str
    """How it last ended or why it cannot start, for people; "" if nothing went wrong."""


class Supervisor:
    """
    One child, by name, through all its generations.

    *launch* is called for each spawn; an error it raises counts as a failed start, and its text as
    the reason. *ready* is looked at in short intervals until it is true; errors count as no.
    *record* is a file of this child's own. *changed* hears each new status and must not raise.
    """

    def __init__(
        self,
        name: str,
        *,
        launch: Callable[[int], Launch],
        ready: Callable[[], Awaitable[bool]],
        record: Path,
        policy: RestartPolicy,
        changed: Callable[[ChildStatus], None],
        stop_signals: tuple[signal.Signals, ...] = (signal.SIGTERM,),
    ) -> None:
        self.name = name
        self._launch, self._ready, self._changed = launch, ready, changed
        self._record_path = record
        self._record = load(record)
        self._child = ManagedChild(
            policy, generation=self._record.generation, stop_signals=stop_signals
        )
        self._process: Identity | None = None
        self._adopted = False
        self._reason = ""
        self._late = False  # the current incarnation was killed because it did not get ready
        self._told: ChildStatus | None = None
        self._happened: asyncio.Queue[Happening] = asyncio.Queue()
        self._tasks: asyncio.TaskGroup | None = None
        self._readiness: asyncio.Task[None] | None = None
        self._ending = False
        self._over = asyncio.Event()

    @property
    def status(self) -> ChildStatus:
        """How the child is now."""
        child = self._child
        return ChildStatus(
            state=child.state.value,
            pid=self._process.pid if self._process else None,
            generation=child.generation,
            restarts=max(0, child.generation - 1),
            adopted=self._adopted,
            reason=self._reason,
        )

    def start(self) -> None:
        """
        Want the child up: adopt the recorded one if it lives, else spawn; also leaves FATAL.

        Without effect while :meth:`stop` is under way.
        """
        self._happened.put_nowait(self._begin)

    def adopt(self) -> None:
        """Take over the recorded one if it lives, and start none if it does not."""
        self._happened.put_nowait(self._take_over)

    async def stop(self) -> None:
        """
        Want the child down; return when it is gone, and :meth:`run` ends.

        Each stop signal, then SIGKILL, has ``stop_timeout`` seconds. Does nothing unless
        :meth:`run` runs.
        """
        if self._tasks is None:
            return
        self._happened.put_nowait(self._end)
        await self._over.wait()

    async def run(self) -> None:
        """Do what is wanted until :meth:`stop` has finished; cancelling leaves the child alive."""
        self._over.clear()
        self._ending = False
        try:
            async with asyncio.TaskGroup() as self._tasks:
                while not (self._ending and self._child.state in (STOPPED, EXITED, FATAL)):
                    await self._step(self._tasks)
        finally:
            self._tasks = None
            self._over.set()

    async def _step(self, tasks: asyncio.TaskGroup) -> None:
        """Wait for what happens next, or for the deadline, and act on it."""
        try:
            async with asyncio.timeout_at(self._child.deadline):
                what = await self._happened.get()
        except TimeoutError:
            what = self._expire
        # No await between hearing and deciding: what is decided on is still so.
        todo = what(tasks)
        while todo:
            todo = [more for command in todo for more in self._perform(command, tasks)]
        if self._readiness and self._child.state is not STARTING:
            self._readiness.cancel()
            self._readiness = None
        self._tell()

    def _begin(self, tasks: asyncio.TaskGroup) -> list[Command]:
        self._take_over(tasks)
        if not self._ending and self._child.state in (STOPPED, EXITED, FATAL):
            return self._child.start(now=self._now())
        return []

    def _take_over(self, tasks: asyncio.TaskGroup) -> list[Command]:
        known = self._record.identity
        if self._ending or self._child.state not in (STOPPED, EXITED, FATAL):
            return []
        if known is None or not is_alive(known):
            return []
        self._process, self._adopted = known, True
        log.info("%s: adopted pid %d", self.name, known.pid)
        generation = Generation(self._record.generation)
        tasks.create_task(self._watch(generation, known))
        return self._child.adopt(generation, now=self._now())

    def _end(self, _: asyncio.TaskGroup) -> list[Command]:
        self._ending = True
        return self._child.stop(now=self._now())

    def _expire(self, _: asyncio.TaskGroup) -> list[Command]:
        if self._child.state is STARTING:
            self._late = True
            self._reason = f"not ready within {self._child.policy.start_timeout:g} s"
        return self._child.expire(now=self._now())

    def _perform(self, command: Command, tasks: asyncio.TaskGroup) -> list[Command]:
        match command:
            case Spawn(generation):
                return self._spawn(generation, tasks)
            case Signal(signal=number):
                self._signal(number)
                return []
            case unreachable:
                assert_never(unreachable)

    def _spawn(self, generation: Generation, tasks: asyncio.TaskGroup) -> list[Command]:
        # First the number alone: if we die in between, it is not given out a second time.
        self._save(Record(generation=generation))
        try:
            launch = self._launch(generation)
            self._process = process.spawn(launch)
        except (OSError, AgentBridgeError) as error:
            self._reason = f"cannot be started: {error}"
            log.error("%s: %s", self.name, self._reason)
            return self._child.exited(generation, now=self._now())
        self._adopted = self._late = False
        started = self._process
        self._save(
            Record(
                pid=started.pid,
                create_time=started.create_time,
                generation=generation,
                argv0=launch.argv[0],
            )
        )
        log.info("%s: generation %d started as pid %d", self.name, generation, started.pid)
        tasks.create_task(self._watch(generation, started))
        self._readiness = tasks.create_task(self._await_ready(generation))
        return []

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        log.info("%s: %s to pid %d", self.name, number.name, self._process.pid)
        if number == signal.SIGKILL:
            process.end_group(self._process)
        else:
            process.send(self._process, number)

    async def _watch(self, generation: Generation, watched: Identity) -> None:
        await wait_for_end(watched)
        self._happened.put_nowait(lambda _: self._exited(generation, watched))

    def _exited(self, generation: Generation, ended: Identity) -> list[Command]:
        process.end_group(ended)
        status = process.reap(ended)
        if self._process == ended:
            self._process = None
            self._save(Record(generation=self._child.generation))
        if self._child.state is not STOPPING:
            if not self._late:
                self._reason = process.in_words(status)
            log.warning("%s: generation %d %s", self.name, generation, process.in_words(status))
        return self._child.exited(generation, now=self._now(), success=status == 0)

    async def _await_ready(self, generation: Generation) -> None:
        never = asyncio.Event()
        attempt = 0
        while not await self._is_ready():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(READY_DELAYS[min(attempt, len(READY_DELAYS) - 1)]):
                    await never.wait()
            attempt += 1
        self._happened.put_nowait(lambda _: self._child.ready(generation, now=self._now()))

    async def _is_ready(self) -> bool:
        try:
            async with asyncio.timeout(READY_PATIENCE):
                return await self._ready()
        except (OSError, AgentBridgeError):  # TimeoutError is an OSError
            return False

    def _save(self, what: Record) -> None:
        self._record = what
        try:
            save(self._record_path, what)
        except OSError as error:
            log.error("%s: cannot write %s: %s", self.name, self._record_path, error.strerror)

    def _tell(self) -> None:
        status = self.status
        if status != self._told:
            self._told = status
            self._changed(status)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
