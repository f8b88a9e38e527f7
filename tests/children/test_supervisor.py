import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from agentbridged.children.liveness import identify
from agentbridged.children.record import load
from agentbridged.children.supervisor import ChildStatus, Launch, RestartPolicy, Supervisor
from agentbridged.errors import Unavailable

STUBBORN = Path(__file__).parent.parent / "fakes" / "stubborn_child.py"
QUICK = RestartPolicy(start_timeout=20, stop_timeout=0.2, backoff=(0.01, 0.01))

pytestmark = pytest.mark.realtime


class Home:
    """A supervisor's surroundings: its child's arguments and what it told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record = folder / "x.child.json"
        self.arguments: list[str] = []
        self.argv0 = sys.executable
        self.told: list[ChildStatus] = []
        self.news = asyncio.Event()
        self.is_ready = True
        self.error: Exception | None = None

    def launch(self, generation: int) -> Launch:
        if self.error:
            raise self.error
        argv = [self.argv0, str(STUBBORN), *self.arguments]
        environment = {"PATH": os.environ["PATH"]}
        return Launch(argv, environment, self.folder, self.log(generation))

    def log(self, generation: int) -> Path:
        return self.folder / f"{generation}.log"

    async def ready(self) -> bool:
        generation = self.told[-1].generation if self.told else 1
        log = self.log(max(generation, 1))
        return self.is_ready and log.exists() and "ready" in log.read_text(encoding="utf-8")

    def changed(self, status: ChildStatus) -> None:
        self.told.append(status)
        self.news.set()

    async def until(self, fits: Callable[[ChildStatus], bool]) -> ChildStatus:
        async with asyncio.timeout(30):
            while not (self.told and fits(self.told[-1])):
                self.news.clear()
                await self.news.wait()
        return self.told[-1]

    def supervisor(self, policy: RestartPolicy = QUICK, *stop: signal.Signals) -> Supervisor:
        return Supervisor(
            "x",
            launch=self.launch,
            ready=self.ready,
            record=self.record,
            policy=policy,
            changed=self.changed,
            stop_signals=stop or (signal.SIGTERM,),
        )


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@asynccontextmanager
async def supervised(supervisor: Supervisor) -> AsyncIterator[Supervisor]:
    """Run it, started; stop it in the end."""
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        tasks.create_task(supervisor.run())
        supervisor.start()
        try:
            yield supervisor
        finally:
            await supervisor.stop()


async def abandoned(home: Home) -> ChildStatus:
    """Start a child and cancel its supervisor, as a dying daemon would."""
    supervisor = home.supervisor()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(supervisor.run())
        supervisor.start()
        status = await home.until(lambda s: s.state == "RUNNING")
        running.cancel()
    return status


def running(status: ChildStatus) -> bool:
    return status.state == "RUNNING"


def kill(status: ChildStatus) -> None:
    assert status.pid is not None
    psutil.Process(status.pid).kill()


async def test_a_child_is_started_and_stopped(home: Home) -> None:
    async with supervised(home.supervisor()):
        status = await home.until(running)
        assert status.pid is not None
        assert identify(status.pid) is not None
        assert load(home.record).pid == status.pid
        assert [s.state for s in home.told] == ["STARTING", "RUNNING"]
    assert home.told[-1] == ChildStatus("STOPPED", None, 1, 0, False, "")
    assert identify(status.pid) is None
    assert load(home.record).pid is None


async def test_a_killed_child_comes_back_as_the_next_generation(home: Home) -> None:
    async with supervised(home.supervisor()):
        first = await home.until(running)
        kill(first)
        second = await home.until(lambda s: running(s) and s.generation == 2)
        assert second.pid != first.pid
        assert (second.restarts, second.reason) == (1, "killed by SIGKILL")


async def test_a_child_that_keeps_failing_is_fatal_until_started_again(home: Home) -> None:
    home.arguments = ["--exit", "3"]
    home.is_ready = False
    async with supervised(home.supervisor()) as supervisor:
        status = await home.until(lambda s: s.state == "FATAL")
        assert (status.generation, status.pid) == (3, None)
        assert status.reason == "exited with status 3"
        home.arguments, home.is_ready = [], True
        supervisor.start()
        assert (await home.until(running)).generation == 4


async def test_a_program_that_cannot_be_started_is_fatal_with_the_reason(home: Home) -> None:
    home.argv0 = str(home.folder / "none")
    async with supervised(home.supervisor()):
        status = await home.until(lambda s: s.state == "FATAL")
    assert "cannot be started" in status.reason
    assert "No such file" in status.reason


async def test_a_launch_that_is_not_possible_is_a_failure_with_its_words(home: Home) -> None:
    home.error = Unavailable("no codex on PATH")
    async with supervised(home.supervisor()):
        status = await home.until(lambda s: s.state == "FATAL")
    assert status.reason == "cannot be started: no codex on PATH"


async def test_a_child_that_does_not_get_ready_is_killed_and_tried_again(home: Home) -> None:
    home.is_ready = False
    async with supervised(home.supervisor(RestartPolicy(start_timeout=0.3, backoff=(0.01,)))):
        status = await home.until(lambda s: s.generation == 2)
        assert status.reason == "not ready within 0.3 s"
        home.is_ready = True


async def test_a_stubborn_child_gets_each_signal_and_then_sigkill(home: Home) -> None:
    home.arguments = ["--ignore", "SIGTERM", "--ignore", "SIGINT", "--grandchild"]
    async with supervised(home.supervisor(QUICK, signal.SIGTERM, signal.SIGINT)):
        status = await home.until(running)
    printed = home.log(1).read_text(encoding="utf-8")
    assert "got 15\n" in printed
    assert "got 2\n" in printed
    assert status.pid is not None
    assert identify(status.pid) is None
    async with asyncio.timeout(30):
        left = identify(int(printed.split()[1]))
        while left is not None and identify(left.pid) is not None:
            await asyncio.to_thread(lambda: None)


async def test_a_dying_daemons_child_lives_on_and_is_adopted(home: Home) -> None:
    first = await abandoned(home)
    assert first.pid is not None
    assert identify(first.pid) is not None
    home.told.clear()
    async with supervised(home.supervisor()):
        status = await home.until(running)
        assert status == ChildStatus("RUNNING", first.pid, 1, 0, True, "")
        kill(status)
        second = await home.until(lambda s: running(s) and s.generation == 2)
        assert not second.adopted
    assert identify(first.pid) is None


async def test_a_child_is_adopted_without_being_wanted_anew(home: Home) -> None:
    first = await abandoned(home)
    home.told.clear()
    supervisor = home.supervisor()
    async with asyncio.TaskGroup() as group:
        group.create_task(supervisor.run())
        supervisor.adopt()
        assert (await home.until(running)).pid == first.pid
        await supervisor.stop()
    assert first.pid is not None
    assert identify(first.pid) is None


async def test_adopting_starts_nothing_when_nothing_lives(home: Home) -> None:
    supervisor = home.supervisor()
    supervisor.adopt()
    async with asyncio.TaskGroup() as group:
        group.create_task(supervisor.run())
        await home.news.wait()
        await supervisor.stop()
    assert supervisor.status.generation == 0


async def test_an_adopted_child_is_stopped_like_any_other(home: Home) -> None:
    home.arguments = ["--ignore", "SIGTERM"]
    first = await abandoned(home)
    home.told.clear()
    async with supervised(home.supervisor()):
        await home.until(running)
    assert first.pid is not None
    assert identify(first.pid) is None
    assert home.told[-1].state == "STOPPED"


async def test_the_generation_grows_across_daemons_and_a_strange_pid_is_not_adopted(
    home: Home,
) -> None:
    home.record.write_text(
        f'{{"pid": {os.getpid()}, "create_time": 1.0, "generation": 41}}', encoding="utf-8"
    )
    async with supervised(home.supervisor()):
        status = await home.until(running)
        assert (status.generation, status.adopted, status.restarts) == (42, False, 41)
        assert status.pid != os.getpid()


async def test_a_clean_exit_of_its_own_is_exited_where_the_policy_says_so(home: Home) -> None:
    go = home.folder / "go"
    home.arguments = ["--exit", "0", "--after", str(go)]
    async with supervised(home.supervisor(RestartPolicy(restart_on_success=False))):
        await home.until(running)
        go.touch()
        status = await home.until(lambda s: s.state == "EXITED")
        assert (status.reason, status.pid) == ("exited with status 0", None)


async def test_stopping_what_does_not_run_returns_at_once(home: Home) -> None:
    await home.supervisor().stop()


async def test_a_start_during_a_stop_does_not_undo_it(home: Home) -> None:
    home.arguments = ["--ignore", "SIGTERM"]
    supervisor = home.supervisor()
    async with supervised(supervisor):
        await home.until(running)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(supervisor.stop())
            await home.until(lambda s: s.state == "STOPPING")
            supervisor.start()
    assert home.told[-1].state == "STOPPED"


async def test_stopping_during_backoff_ends_it(home: Home) -> None:
    home.arguments = ["--exit", "1"]
    home.is_ready = False
    async with supervised(home.supervisor(RestartPolicy(backoff=(1000,)))):
        await home.until(lambda s: s.state == "BACKOFF")
    assert home.told[-1].state == "STOPPED"


async def test_an_unwritable_record_does_not_keep_the_child_down(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    home.record = home.folder / "none" / "r"
    async with supervised(home.supervisor()):
        await home.until(running)
    assert "cannot write" in caplog.text
