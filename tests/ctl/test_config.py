"""``config`` as a person runs it."""

import stat
import tomllib

import pytest

from tests.ctl.shell import Shell

pytestmark = pytest.mark.realtime


async def test_a_setting_is_changed_and_the_rest_of_the_file_kept(shell: Shell) -> None:
    file = shell.home / "config" / "config.toml"
    assert (await shell.ctl("config", "path")).out == f"{file}\n"
    assert (await shell.ctl("config", "get", "governor.max_hops")).out == "20\n"
    for key, value in (
        ("governor.max_hops", "40"),
        ("relay", "replies"),
        ('bridge."/a.b/c".governor.enabled', "false"),
    ):
        done = await shell.ctl("config", "set", key, value)
        assert done.code == 0
        assert "agentbridgectl reload" in done.out
    assert tomllib.loads(file.read_text(encoding="utf-8")) == {
        "governor": {"max_hops": 40},
        "relay": "replies",
        "bridge": {"/a.b/c": {"governor": {"enabled": False}}},
    }
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (await shell.ctl("config", "get", "relay")).out == "replies\n"
    assert (await shell.ctl("config", "get", "governor", "--json")).json["max_hops"] == 40
    shown = tomllib.loads((await shell.ctl("config", "show")).out)
    assert shown["history"] == {"keep_days": 90}
    assert (await shell.ctl("config", "show", "--json")).json == shown


@pytest.mark.parametrize(
    ("key", "value", "field"),
    [
        ("governor.max_hops", "many", "governor.max_hops"),
        ("governor.max_hops", "0", "governor.max_hops"),
        ("relay", "some", "relay"),
        ("no.such", "1", "no"),
        ('bridge."/a".relay', "some", 'bridge."/a"'),
        ("relay.inner", "x", "relay"),
    ],
)
async def test_a_wrong_setting_is_refused_by_name_and_nothing_is_written(
    shell: Shell, key: str, value: str, field: str
) -> None:
    file = shell.home / "config" / "config.toml"
    file.parent.mkdir()
    file.write_text('relay = "all"\n', encoding="utf-8")
    done = await shell.ctl("config", "set", key, value)
    assert done.code == 1
    assert field in done.err
    assert file.read_text(encoding="utf-8") == 'relay = "all"\n'
    assert [p.name for p in file.parent.iterdir()] == ["config.toml"]


async def test_a_broken_file_is_named_and_left_for_its_owner(shell: Shell) -> None:
    file = shell.home / "config" / "config.toml"
    file.parent.mkdir()
    file.write_text("relay = \n", encoding="utf-8")
    for arguments in (("show",), ("get", "relay"), ("set", "relay", "all")):
        done = await shell.ctl("config", *arguments)
        assert done.code == 1
        assert "config.toml" in done.err
    assert file.read_text(encoding="utf-8") == "relay = \n"


async def test_a_link_to_the_file_stays_a_link(shell: Shell) -> None:
    file = shell.home / "config" / "config.toml"
    file.parent.mkdir()
    real = shell.home / "dotfiles.toml"
    real.write_text("", encoding="utf-8")
    file.symlink_to(real)
    assert (await shell.ctl("config", "set", "relay", "replies")).code == 0
    assert file.is_symlink()
    assert tomllib.loads(real.read_text(encoding="utf-8")) == {"relay": "replies"}


async def test_an_unknown_setting_is_told(shell: Shell) -> None:
    done = await shell.ctl("config", "get", "governor.nope")
    assert done.code == 1
    assert "there is no such setting" in done.err
