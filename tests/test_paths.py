"""Where things live, and that nobody else can look in."""

import os
import stat
import sys
import tempfile
from pathlib import Path

import pytest

from agentbridged.errors import ConfigError
from agentbridged.paths import (
    SOCKET_PATH_LIMIT,
    Paths,
    bridge_id,
    from_environment,
    make_private,
    project_root,
)

linux = pytest.mark.skipif(sys.platform == "darwin", reason="XDG is Linux's")


@linux
def test_the_xdg_directories_are_used() -> None:
    found = from_environment(
        {
            "HOME": "/h",
            "XDG_RUNTIME_DIR": "/run/user/7",
            "XDG_STATE_HOME": "/s",
            "XDG_CONFIG_HOME": "/c",
        }
    )
    assert found == Paths(
        runtime=Path("/run/user/7/agentbridge"),
        state=Path("/s/agentbridge"),
        config_file=Path("/c/agentbridge/config.toml"),
    )


@linux
def test_without_them_the_home_and_a_private_temporary_directory_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 987_654)
    found = from_environment({"HOME": "/h", "XDG_STATE_HOME": "", "TMPDIR": "/t"})
    assert found == Paths(
        runtime=Path("/t/agentbridge-987654"),
        state=Path("/h/.local/state/agentbridge"),
        config_file=Path("/h/.config/agentbridge/config.toml"),
    )
    assert from_environment({"HOME": "/h"}).runtime.parent == Path(tempfile.gettempdir())


def test_on_a_mac_application_support_and_a_short_directory_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(os, "getuid", lambda: 987_654)
    found = from_environment({"HOME": "/h", "TMPDIR": "/t", "XDG_STATE_HOME": "/ignored"})
    support = Path("/h/Library/Application Support/agentbridge")
    assert (found.state, found.config_file) == (support, support / "config.toml")
    assert found.runtime == Path("/t/agentbridge-987654")


def test_our_own_variables_come_first() -> None:
    found = from_environment(
        {
            **{"HOME": "/h", "XDG_RUNTIME_DIR": "/x", "XDG_CONFIG_HOME": "/x"},
            **{"AGENTBRIDGE_RUNTIME_DIR": "/r", "AGENTBRIDGE_STATE_DIR": "/s"},
            "AGENTBRIDGE_CONFIG": "/c/my.toml",
        }
    )
    assert found == Paths(Path("/r"), Path("/s"), Path("/c/my.toml"))


@pytest.mark.parametrize(
    "variable", ["AGENTBRIDGE_RUNTIME_DIR", "AGENTBRIDGE_STATE_DIR", "AGENTBRIDGE_CONFIG"]
)
def test_a_relative_path_is_refused_by_the_variables_name(variable: str) -> None:
    with pytest.raises(ConfigError, match="not an absolute path") as caught:
        from_environment({"HOME": "/h", variable: "somewhere"})
    assert caught.value.field == variable


def test_every_path_is_below_its_directory() -> None:
    places = Paths(Path("/r"), Path("/s"), Path("/c.toml"))
    assert {p.name for p in (places.admin_socket, places.claude_socket, places.codex_socket)} == {
        *("admin.sock", "claude.sock", "codex.sock"),
    }
    for path in (
        *(places.admin_socket, places.claude_socket, places.codex_socket, places.proxy_socket),
        *(places.lock_file, places.private_app_server_socket, places.child_record("proxy")),
    ):
        assert path.parent == places.runtime
    assert places.database == Path("/s/agentbridge.db")
    assert places.log_file == Path("/s/logs/agentbridged.log")
    assert places.child_record("proxy") != places.child_record("app-server")


# Making them


def test_directories_are_made_private_and_open_ones_are_closed(tmp_path: Path) -> None:
    places = Paths(tmp_path / "r", tmp_path / "deep" / "s", tmp_path / "c.toml")
    places.runtime.mkdir(mode=0o755)
    places.make()
    places.make()
    for directory in (places.runtime, places.state, places.logs):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_a_state_directory_that_cannot_be_had_is_no_reason_not_to_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    places = Paths(tmp_path / "r", tmp_path / "file" / "s", tmp_path / "c.toml")
    places.make()
    assert places.runtime.is_dir()


def test_somebody_elses_state_directory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(directory: Path, field: str) -> None:
        if directory.name == "s":
            raise ConfigError(field, "belongs to uid 7")

    monkeypatch.setattr("agentbridged.paths.make_private", make)
    with pytest.raises(ConfigError, match="belongs to uid 7"):
        Paths(tmp_path / "r", tmp_path / "s", tmp_path / "c.toml").make()


def test_a_runtime_directory_too_long_for_sockets_is_refused(tmp_path: Path) -> None:
    long = tmp_path / ("x" * SOCKET_PATH_LIMIT)
    with pytest.raises(ConfigError, match="too long") as caught:
        Paths(long, tmp_path / "s", tmp_path / "c.toml").make()
    assert caught.value.field == "AGENTBRIDGE_RUNTIME_DIR"


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for inside in (tmp_path / "file", tmp_path / "file" / "inner"):
        with pytest.raises(ConfigError, match=r"FIELD: cannot use .*file"):
            make_private(inside, "FIELD")


def test_somebody_elses_directory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 987_654)
    with pytest.raises(ConfigError, match=f"belongs to uid {tmp_path.stat().st_uid}"):
        make_private(tmp_path, "FIELD")


# Projects


def test_a_projects_root_is_its_git_top_level_else_itself(tmp_path: Path) -> None:
    inner = tmp_path / "repo" / "a" / "b"
    inner.mkdir(parents=True)
    assert project_root(inner) == inner
    (tmp_path / "repo" / ".git").mkdir()
    assert project_root(inner) == tmp_path / "repo"
    (inner / ".git").write_text("gitdir: elsewhere", encoding="utf-8")
    assert project_root(inner) == inner


def test_a_project_has_one_root_however_it_is_reached(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert project_root(tmp_path / "link") == tmp_path / "real"
    assert project_root(tmp_path / "link" / ".." / "real") == tmp_path / "real"


@pytest.mark.parametrize(
    ("root", "slug"),
    [
        *(("/home/a/My Project", "my-project"), ("/", "root"), ("/x/---", "root")),
        *(("/x/ünïcode", "n-code"), ("/x/" + "a" * 60, "a" * 40), ("/x/.dots.", "dots")),
    ],
)
def test_a_bridges_id_is_readable_and_its_own(root: str, slug: str) -> None:
    id = bridge_id(Path(root))
    assert id.rpartition("-")[0] == slug
    assert len(id.rpartition("-")[2]) == 8
    assert id == bridge_id(Path(root))
    assert id != bridge_id(Path("/elsewhere") / Path(root).name)
