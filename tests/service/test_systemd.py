"""The unit as it is rendered; what becomes of it, ``tests/end_to_end/test_systemd.py`` shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentbridged.errors import Refused
from agentbridged.service import systemd
from agentbridged.service.contract import Programs
from agentbridged.service.systemd import MARK, Systemd, render

UNIT = Path(__file__).parent.parent.parent / "systemd" / "agentbridge.service"
OURS = Programs(("/home/a b/agentbridged",), ("/usr/bin/python3", "-m", "agentbridged.ctl"))


def lines(text: str, key: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(f"{key}=")]


def test_every_program_is_the_installations_own() -> None:
    text = render(OURS, {})
    assert text.startswith(MARK)
    assert lines(text, "ExecStart") == ['ExecStart="/home/a b/agentbridged"']
    reload = 'ExecReload="/usr/bin/python3" "-m" "agentbridged.ctl" reload'
    assert lines(text, "ExecReload") == [reload]
    assert lines(text, "ExecStopPost") == ['ExecStopPost=-"/home/a b/agentbridged" --after-stop']
    assert "/usr/bin/agentbridge" not in text


def test_what_is_rendered_is_the_packages_unit_and_nothing_else() -> None:
    same = Programs(("/usr/bin/agentbridged",), ("/usr/bin/agentbridgectl",))
    text = render(same, {}).replace('"', "").removeprefix(f"{MARK}\n")
    assert text == UNIT.read_text(encoding="utf-8").replace('"', "")


def test_a_word_that_systemd_would_read_otherwise_is_quoted() -> None:
    text = render(Programs(('/x/50%/"\\/agentbridged',), ()), {})
    assert lines(text, "ExecStart") == ['ExecStart="/x/50%%/\\"\\\\/agentbridged"']


def test_the_shells_own_settings_are_carried_over() -> None:
    text = render(OURS, {"AGENTBRIDGE_CODEX": "/x y/codex"})
    assert lines(text, "Environment") == ['Environment="AGENTBRIDGE_CODEX=/x y/codex"']
    assert text.index("[Service]") < text.index("Environment=") < text.index("ExecStart=")


def test_a_path_with_a_line_break_is_refused() -> None:
    with pytest.raises(Refused, match="cannot name"):
        render(Programs(("/x\nExecStart=/y",), ()), {})


def test_a_unit_of_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    service = Systemd.__new__(Systemd)
    service.file = tmp_path / "agentbridge.service"
    service.file.write_text("[Service]\n", encoding="utf-8")
    with pytest.raises(Refused, match="is not ours"):
        service.install(OURS, linger=False)
    assert service.file.read_text(encoding="utf-8") == "[Service]\n"


def test_the_runtime_directory_of_another_user_is_not_taken_for_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "RUNTIME", tmp_path)
    monkeypatch.setattr("os.getuid", lambda: 4242)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert "XDG_RUNTIME_DIR" not in systemd._environment()
