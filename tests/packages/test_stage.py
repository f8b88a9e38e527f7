"""The staged tree: what every package installs, and that it runs by itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentbridged import __version__
from tests.lab import packages

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PROGRAMS = ("agentbridged", "agentbridgectl", "agentbridge-mcp")


def staged(destination: Path, *options: str) -> subprocess.CompletedProcess[str]:
    script = packages.SOURCE / "packaging" / "stage.py"
    wheels = ("--wheels", str(packages.wheels()))
    return subprocess.run(
        [sys.executable, str(script), str(destination), *wheels, *options],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("staged") / "tree"
    done = staged(tree, "--version", "7.8.9")
    assert done.returncode == 0, done.stderr
    return tree


def run_in(tree: Path, *command: str, python: str = sys.executable) -> str:
    """Run a module of the tree with *python* and nothing but what the tree brings and psutil."""
    library = tree / "usr/lib/agentbridge"
    done = subprocess.run(
        [python, "-I", str(library), *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_tree_runs_by_itself_and_knows_its_version(tree: Path) -> None:
    assert "7.8.9" in run_in(tree, "agentbridged", "--version")
    assert "7.8.9" in run_in(tree, "agentbridged.ctl", "--version")
    assert "7.8.9" in run_in(tree, "agentbridged.mcp.shim", "--version")
    manifest = "usr/lib/agentbridge/agentbridged/plugin/agentbridge/.claude-plugin/plugin.json"
    assert '"version": "7.8.9"' in (tree / manifest).read_text(encoding="utf-8")


def test_the_checkout_keeps_its_version(tree: Path) -> None:
    init = packages.SOURCE / "agentbridged" / "__init__.py"
    assert f'"{__version__}"' in init.read_text(encoding="utf-8")


def test_the_daemon_starts_its_proxy_out_of_the_tree(tree: Path) -> None:
    asked = "from agentbridged.launches import own_module; print(*own_module('m'))"
    library = tree / "usr/lib/agentbridge"
    script = f"import sys; sys.path.insert(0, {str(library)!r}); import agentbridge_tree; {asked}"
    told = subprocess.check_output([sys.executable, "-I", "-c", script], text=True)
    assert told.split() == [sys.executable, "-I", str(library), "m"]
    assert "--codex-socket" in run_in(tree, "agentbridged.proxy", "--help")


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_is_run_by_the_distributions_python_and_hears_no_pythonpath(
    tree: Path, program: str
) -> None:
    wrapper = tree / "usr/bin" / program
    lines = wrapper.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "#!/usr/bin/python3 -I"
    assert 'sys.path.insert(0, "/usr/lib/agentbridge")' in lines
    assert os.access(wrapper, os.X_OK)


def test_msgspec_is_there_for_each_python_and_machine_that_is_promised(tree: Path) -> None:
    found = (tree / "usr/lib/agentbridge/compiled/msgspec").glob("*.so")
    wanted = {
        f"_core.cpython-3{minor}-{machine}-linux-gnu.so"
        for minor in (11, 12, 13, 14)
        for machine in ("x86_64", "aarch64")
    }
    assert {path.name for path in found} == wanted


def test_a_python_that_no_msgspec_fits_is_told_in_one_line(tree: Path) -> None:
    script = (
        "import importlib.machinery as m; m.EXTENSION_SUFFIXES = ['.cpython-399-vax.so'];"
        f"import sys; sys.path = [{str(tree / 'usr/lib/agentbridge')!r}] +"
        " [p for p in sys.path if 'packages' not in p]; import agentbridge_tree"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "python3-msgspec" in done.stderr
    assert "cpython-399-vax" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_vendored_library_comes_with_its_licence(tree: Path) -> None:
    library = tree / "usr/lib/agentbridge"
    vendored = [*library.glob("*.dist-info"), *library.glob("compiled/*.dist-info")]
    assert len(vendored) == 5
    for information in vendored:
        assert list(information.rglob("LICENSE*")), information


def test_every_file_has_the_mode_of_its_kind(tree: Path) -> None:
    for path in tree.rglob("*"):
        mode = path.stat().st_mode & 0o777
        assert mode in (0o644, 0o755), path
        assert not path.is_dir() or mode == 0o755


def test_a_directory_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = staged(tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"stage.py: {tmp_path} is not empty\n"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
