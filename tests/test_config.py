from pathlib import Path

import pytest

from agentbridged.config import Config, Settings, check, load
from agentbridged.errors import ConfigError


def test_no_file_means_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path / "none.toml") == Config()
    assert Config().governor.max_hops == 20
    assert Config().history.keep_days == 90


def test_a_project_has_its_own_settings_over_the_common_ones(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(
        '[governor]\nmax_hops = 5\n[bridge."/p"]\nrelay = "replies"\n'
        '[bridge."/p".governor]\nenabled = false\n',
        encoding="utf-8",
    )
    config = load(file)
    assert config.of("/p").relay == "replies"
    assert config.of("/p").governor.max_hops == 5
    assert config.of("/p").governor.enabled is False
    assert config.of("/q").relay == "all"
    assert type(config.of("/q")) is Settings


@pytest.mark.parametrize(
    ("table", "field"),
    [
        ({"relay": "some"}, "relay"),
        ({"governor": {"max_hops": 0}}, "governor.max_hops"),
        ({"governor": {"max_hops": "20"}}, "governor.max_hops"),
        ({"history": {"keep_days": -1}}, "history.keep_days"),
        ({"bridge": {"relative": {}}}, 'bridge."relative"'),
        ({"bridge": {"/p": {"relay": 1}}}, 'bridge."/p".relay'),
        ({"codex": {"environment": "none"}}, "codex.environment"),
    ],
)
def test_a_wrong_value_names_its_field(table: dict[str, object], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check(table)
    assert caught.value.field == field


def test_a_choice_is_told_with_what_may_be_chosen_and_where(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('relay = "some"\n', encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert str(caught.value) == f"relay: expected 'all' or 'replies'; mend it in {file}"


def test_an_unknown_setting_is_named() -> None:
    with pytest.raises(ConfigError, match="relais"):
        check({"relais": "all"})


@pytest.mark.parametrize("content", [b"relay = ", b"\xff\xfe", b"[a\n"])
def test_a_file_that_is_no_toml_is_an_error_that_names_the_file(
    tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"config\.toml"):
        load(file)


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)
