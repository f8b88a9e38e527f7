"""The .deb, built by debhelper."""

import shutil
import subprocess

import pytest

from tests.lab.packages import build_deb, why_no_deb

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(autouse=True)
def able() -> None:
    if reason := why_no_deb():
        pytest.skip(reason)


def test_one_file_is_for_every_architecture_and_enables_nothing_for_everybody() -> None:
    package = build_deb("0.1.0")
    fields = subprocess.check_output(["dpkg-deb", "-f", package], text=True)
    assert "Architecture: all\n" in fields
    assert "Depends: init-system-helpers (>= 1.52), python3 (>= 3.11), python3-psutil" in fields
    listed = subprocess.check_output(["dpkg-deb", "-c", package], text=True)
    assert "./usr/lib/systemd/user/agentbridge.service" in listed
    assert ".wants" not in listed
    assert "__pycache__" not in listed


def test_lintian_has_nothing_to_say() -> None:
    if shutil.which("lintian") is None:
        pytest.skip("lintian is missing (apt install lintian)")
    done = subprocess.run(
        ["lintian", "--allow-root", "--fail-on", "error,warning,info", build_deb("0.1.0")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr
