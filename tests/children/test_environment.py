import asyncio
import logging
import shutil
from pathlib import Path

import pytest

from agentbridged.children.environment import LoginEnvironment, scrubbed, usual_places
from agentbridged.children.liveness import identify

REAL = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}


def test_what_belongs_to_others_is_left_out_and_codexs_keys_stay() -> None:
    theirs = [
        *("CLAUDECODE", "CLAUDE_CODE_MESSAGING_SOCKET", "ANTHROPIC_API_KEY", "NOTIFY_SOCKET"),
        *("WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID", "INVOCATION_ID"),
        *("JOURNAL_STREAM", "MANAGERPID", "RUNTIME_DIRECTORY", "SYSTEMD_EXEC_PID"),
        *("MEMORY_PRESSURE_WATCH", "AGENTBRIDGE_CODEX", "AGENTBRIDGE_CLAUDE"),
    ]
    kept = ["OPENAI_API_KEY", "OPENAI_BASE_URL", "PATH", "HTTPS_PROXY", "AGENTBRIDGE_RUNTIME_DIR"]
    found = scrubbed(dict.fromkeys(theirs + kept, "x"))
    assert sorted(found) == sorted(kept)


def shell(folder: Path, script: str) -> dict[str, str]:
    """Make a login shell of a script; ``"$3"`` is the command it was started with."""
    path = folder / "shell"
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return {**REAL, "SHELL": str(path), "HOME": str(folder)}


@pytest.mark.realtime
async def test_the_login_shells_variables_are_taken_in_spite_of_banners(tmp_path: Path) -> None:
    own = shell(
        tmp_path,
        "echo Welcome; echo A=banner\n"
        "export KEY='two\nlines' PATH=/mine:$PATH NOTIFY_SOCKET=/x SHLVL=7\n"
        'sh -c "$2"; echo Goodbye',
    )
    found = await LoginEnvironment(own).get()
    assert found["KEY"] == "two\nlines"
    assert found["PATH"].startswith("/mine:")
    assert found["HOME"] == str(tmp_path)
    assert found.keys().isdisjoint({"A", "NOTIFY_SOCKET", "SHLVL"})


@pytest.mark.realtime
async def test_a_real_shells_start_files_are_read(tmp_path: Path) -> None:
    (tmp_path / ".bash_profile").write_text("export FROM_PROFILE=yes\necho hi\n", encoding="utf-8")
    own = {**REAL, "SHELL": "/bin/bash", "HOME": str(tmp_path)}
    assert (await LoginEnvironment(own).get())["FROM_PROFILE"] == "yes"


@pytest.mark.realtime
async def test_the_shell_is_asked_once_until_told_to_forget(tmp_path: Path) -> None:
    own = shell(tmp_path, 'echo x >> "$HOME/asked"; sh -c "$2"')
    login = LoginEnvironment(own)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(login.get())
    assert (tmp_path / "asked").read_text(encoding="utf-8") == "x\n"
    login.forget()
    await login.get()
    assert (tmp_path / "asked").read_text(encoding="utf-8") == "x\nx\n"


@pytest.mark.realtime
async def test_what_the_start_files_leave_running_does_not_hold_us_up(tmp_path: Path) -> None:
    own = shell(tmp_path, 'sleep 1000 & export KEY=1; sh -c "$2"; wait')
    async with asyncio.timeout(4.5):
        assert (await LoginEnvironment(own).get())["KEY"] == "1"


@pytest.mark.realtime
@pytest.mark.parametrize("script", ["exit 3", "echo secret; kill -9 $$", 'printf "$2"'])
async def test_a_shell_that_fails_leaves_us_our_own_environment_and_a_warning(
    script: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = {**shell(tmp_path, script), "OWN": "value-of-mine", "NOTIFY_SOCKET": "/x"}
    found = await LoginEnvironment(own).get()
    assert found["OWN"] == "value-of-mine"
    assert "NOTIFY_SOCKET" not in found
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "secret" not in caplog.text
    assert "value-of-mine" not in caplog.text


@pytest.mark.realtime
async def test_a_missing_shell_is_no_obstacle(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = {**REAL, "SHELL": str(tmp_path / "none"), "HOME": str(tmp_path)}
    assert (await LoginEnvironment(own).get())["PATH"] == REAL["PATH"]
    assert "No such file" in caplog.text


@pytest.mark.realtime
async def test_a_shell_that_hangs_is_ended_after_five_seconds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentbridged.children.environment.SHELL_PATIENCE", 0.5)
    own = shell(tmp_path, 'echo $$ > "$HOME/pid"; while :; do sleep 1; done')
    async with asyncio.timeout(30):
        await LoginEnvironment(own).get()
    pid = int((tmp_path / "pid").read_text(encoding="utf-8"))
    assert identify(pid) is None
    assert "did not answer within 0.5 s" in caplog.text


START_FILES = {
    "bash": (".bash_profile", "export KEY='two\nlines'; echo A=1; read -r line; false\n"),
    "dash": (".profile", "export KEY='two\nlines'; echo A=1; read -r line; false\n"),
    "zsh": (".zshrc", "export KEY='two\nlines'; echo A=1; read -r line; false\n"),
    "fish": (".config/fish/config.fish", "set -gx KEY 'two\nlines'; echo A=1; read line; false\n"),
}


@pytest.mark.realtime
@pytest.mark.parametrize("name", START_FILES)
async def test_each_shell_tells_in_spite_of_junk_a_question_and_a_failing_line(
    name: str, tmp_path: Path
) -> None:
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"{name} is not installed")
    file, text = START_FILES[name]
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(text, encoding="utf-8")
    login = LoginEnvironment({**REAL, "SHELL": program, "HOME": str(tmp_path)})
    found = await login.get()
    assert found["KEY"] == "two\nlines"
    assert "A" not in found
    told = login.status()
    assert (told["problem"], told["shell"]) == ("", program)
    assert "KEY" in told["names"]
    assert "lines" not in str(told)


@pytest.mark.realtime
@pytest.mark.parametrize("name", START_FILES)
async def test_a_start_file_that_hangs_is_told_of(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"{name} is not installed")
    monkeypatch.setattr("agentbridged.children.environment.SHELL_PATIENCE", 0.5)
    file, _ = START_FILES[name]
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text("sleep 600\n", encoding="utf-8")
    login = LoginEnvironment({**REAL, "SHELL": program, "HOME": str(tmp_path)})
    assert (await login.get())["PATH"] == REAL["PATH"]
    told = login.status()
    assert (told["names"], told["problem"]) == ([], "did not answer within 0.5 s")
    assert told["taken_at"]


def test_nothing_is_told_of_a_shell_that_was_not_asked() -> None:
    told = LoginEnvironment({"SHELL": "/bin/sh"}).status()
    assert told == {"shell": "/bin/sh", "taken_at": None, "names": [], "problem": ""}


def test_peoples_programs_are_looked_for_in_the_usual_places_the_newest_node_first(
    tmp_path: Path,
) -> None:
    nodes = tmp_path / ".nvm/versions/node"
    for place in (tmp_path / ".local/bin", nodes / "v9.1.0/bin", nodes / "v22.3.0/bin"):
        place.mkdir(parents=True)
    found = [place for place in usual_places(tmp_path) if place.startswith(str(tmp_path))]
    expected = [tmp_path / ".local/bin", nodes / "v22.3.0/bin", nodes / "v9.1.0/bin"]
    assert found == [str(place) for place in expected]
