import os
import sys
from pathlib import Path

import pytest

from agentbridged import paths, peercred
from agentbridged.config import Config, check
from agentbridged.errors import ConfigError
from agentbridged.launches import Launches


def launches(home: Path, config: Config | None = None, **variables: str) -> Launches:
    environment = {
        "HOME": str(home),
        "PATH": "/usr/bin:/bin",
        "SHELL": "/bin/sh",
        "CLAUDECODE": "1",
        "NOTIFY_SOCKET": "/run/x",
        "OPENAI_API_KEY": "sk-1",
        "AGENTBRIDGE_RUNTIME_DIR": str(home / "run"),
        **variables,
    }
    kept = config or check({"codex": {"environment": "inherit"}})
    return Launches(paths.from_environment(environment), environment, lambda: kept)


def test_the_proxy_is_this_very_python_and_knows_its_generation(tmp_path: Path) -> None:
    launch = launches(tmp_path).proxy(7)
    assert launch.argv[:3] == [sys.executable, "-m", "agentbridged.proxy"]
    assert launch.argv[-2:] == ["--generation", "7"]
    assert "CLAUDECODE" not in launch.env
    assert "NOTIFY_SOCKET" not in launch.env


def test_codex_gets_the_users_keys_and_nothing_of_claudes(tmp_path: Path) -> None:
    launch = launches(tmp_path, AGENTBRIDGE_CODEX="/bin/true").app_server(1)
    assert launch.argv == ["/bin/true", "app-server", "--listen", "unix://"]
    assert launch.env["OPENAI_API_KEY"] == "sk-1"
    assert "CLAUDECODE" not in launch.env


@pytest.mark.realtime
async def test_codex_is_looked_for_where_the_login_shell_says(tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "codex").symlink_to("/bin/true")
    (tmp_path / ".profile").write_text(f"export PATH={programs}:$PATH\n", encoding="utf-8")
    known = launches(tmp_path, Config())
    await known.prepare()
    assert known.app_server(1).argv[0] == str(programs / "codex")


def test_codex_is_found_where_nvm_puts_it_and_node_beside_it(tmp_path: Path) -> None:
    place = tmp_path / ".nvm/versions/node/v22.3.0/bin"
    place.mkdir(parents=True)
    (place / "codex").symlink_to("/bin/true")
    known = launches(tmp_path, PATH=str(tmp_path))
    launch = known.app_server(1)
    assert launch.argv[0] == str(place / "codex")
    assert launch.env["PATH"] == f"{tmp_path}:{place}"
    assert known.status()["codex"] == str(place / "codex")


def test_the_environment_is_told_by_names_alone(tmp_path: Path) -> None:
    told = launches(tmp_path, AGENTBRIDGE_CODEX="/bin/true").status()
    assert told["source"] == "inherit"
    assert "OPENAI_API_KEY" in told["names"]
    assert "sk-1" not in str(told)


def test_a_missing_codex_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentbridged.children.environment.usual_places", lambda home: [])
    with pytest.raises(ConfigError, match=r"AGENTBRIDGE_CODEX: /no/such/codex is no program"):
        launches(tmp_path, AGENTBRIDGE_CODEX="/no/such/codex").app_server(1)
    with pytest.raises(ConfigError, match="install Codex"):
        launches(tmp_path, PATH=str(tmp_path)).app_server(1)
    assert not launches(tmp_path, PATH=str(tmp_path)).codex_exists()
    assert launches(tmp_path, AGENTBRIDGE_CODEX="/bin/true").codex_exists()


def test_the_control_socket_comes_first_and_a_private_one_after_it_failed(
    tmp_path: Path,
) -> None:
    known = launches(tmp_path, AGENTBRIDGE_CODEX="/bin/true")
    (control,) = known.app_server_sockets()
    assert control.is_relative_to(tmp_path / ".codex")
    assert known.use_private_socket("it is taken")
    assert not known.use_private_socket("again")
    private = tmp_path / "run" / "app-server.sock"
    assert known.app_server_sockets() == [control, private]
    assert known.app_server(2).argv[-1] == f"unix://{private}"
    assert "agentbridgectl codex" in known.reason
    known.forget()
    assert (known.app_server_sockets(), known.reason) == ([control], "")


async def test_a_socket_counts_as_ready_when_somebody_listens(tmp_path: Path) -> None:
    known = launches(tmp_path)
    (tmp_path / "run").mkdir()
    assert not await known.proxy_ready()
    with peercred.listen_private(tmp_path / "run" / "codex.sock"):
        assert await known.proxy_ready()
    assert not await known.app_server_ready()


def test_a_process_has_a_name_of_its_own(tmp_path: Path) -> None:
    name = Launches.name_of(os.getpid())
    assert name.startswith(f"{os.getpid()}:")
    assert name == Launches.name_of(os.getpid())
