"""
Stage what a package installs, as one tree below a directory that is empty or does not exist.

    python packaging/stage.py DESTINATION [--wheels DIRECTORY] [--version VERSION]

It runs from a checkout, with the Python of an environment that has agentbridge's dependencies (the
man pages and completions come from the programs themselves). What is vendored is downloaded by pip,
pinned by constraints.txt, into the directory of wheels, and only what is not there yet: a build
without a network needs that directory filled. Nothing of the checkout is changed.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import completions
import manual

import agentbridged

SOURCE = Path(__file__).resolve().parent.parent
WHEELS = SOURCE / "build" / "wheels"
LIBRARY = "usr/lib/agentbridge"
"""The private tree: nothing of it is on another program's path."""
INTERPRETER = "/usr/bin/python3 -I"
"""The distribution's, and deaf to PYTHONPATH and to what a user installed for themselves."""

PURE = ("click", "sdnotify", "tomli_w", "websockets")
COMPILED = "msgspec"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
MACHINES = ("x86_64", "aarch64")
"""msgspec has wheels for these two; elsewhere the distribution's is needed."""

_WRAPPER = """\
#!{interpreter}
import sys

sys.path.insert(0, "/{library}")
import agentbridge_tree

from {module} import {function}

sys.exit({function}())
"""


class Failed(Exception):
    """A step of the staging failed; the message says which and why."""


def pinned(name: str) -> str:
    """Return the requirement *name* as constraints.txt pins it."""
    text = (SOURCE / "constraints.txt").read_text(encoding="utf-8")
    found = re.search(rf"(?mi)^{re.escape(name)}==\S+$", text)
    if found is None:
        raise Failed(f"constraints.txt does not pin {name}")
    return found[0]


def fetch(wheels: Path) -> None:
    """Fill *wheels* with what is vendored, as far as it is not there yet; pip does the work."""
    wheels.mkdir(parents=True, exist_ok=True)
    wanted = [order for order in _orders() if not any(wheels.glob(order[0]))]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda order: _pip(wheels, *order[1]), wanted))


def _orders() -> Iterator[tuple[str, list[str]]]:
    """Give for each wheel a pattern of its file name and what pip is told to get it."""
    only = ("download", "--no-deps", "--only-binary=:all:")
    for name in PURE:
        pattern = f"{pinned(name).replace('==', '-')}-py*-none-any.whl"
        pure = ("--platform=any", "--abi=none", "--implementation=py", "--python-version=3.11")
        # sdnotify is published as source only, and pip makes the wheel.
        how = ("wheel", "--no-deps") if name == "sdnotify" else (*only, *pure)
        yield pattern, [*how, pinned(name)]
    for python in PYTHONS:
        for machine in MACHINES:
            abi = f"cp{python.replace('.', '')}"
            kinds = ("manylinux2014", "manylinux_2_17", "manylinux_2_28")
            platforms = [f"--platform={kind}_{machine}" for kind in kinds]
            where = (f"--python-version={python}", "--implementation=cp", f"--abi={abi}")
            pattern = f"{pinned(COMPILED).replace('==', '-')}-{abi}-{abi}-*{machine}.whl"
            yield pattern, [*only, *platforms, *where, pinned(COMPILED)]


def _pip(wheels: Path, verb: str, *arguments: str) -> None:
    into = "--wheel-dir" if verb == "wheel" else "--dest"
    command = [sys.executable, "-m", "pip", verb, "-q", "--disable-pip-version-check"]
    with tempfile.TemporaryDirectory(dir=wheels) as fresh:
        done = subprocess.run(
            [*command, into, fresh, *arguments], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise Failed(f"pip could not get {arguments[-1]}:\n{done.stderr.strip()}")
        for wheel in Path(fresh).iterdir():  # in one step: two builds may share the directory
            wheel.rename(wheels / wheel.name)


def stage(destination: Path, wheels: Path = WHEELS, version: str | None = None) -> None:
    """Make the whole tree; *version* instead of the checkout's is for trying upgrades."""
    if destination.exists() and any(destination.iterdir()):
        raise Failed(f"{destination} is not empty")
    fetch(wheels)
    library = destination / LIBRARY
    shutil.copytree(
        SOURCE / "agentbridged",
        library / "agentbridged",
        ignore=shutil.ignore_patterns("__pycache__", "*.pyc"),
    )
    for file in (SOURCE / "packaging" / "tree").glob("*[!~]"):
        shutil.copy(file, library)
    if version is not None:
        _call_it(version, library)
    _vendor(wheels, library)
    _programs(destination)
    _install(SOURCE / "systemd/agentbridge.service", destination / "usr/lib/systemd/user")
    manual.write(destination / "usr/share", version or agentbridged.__version__)
    completions.write(destination / "usr/share")
    documents = destination / "usr/share/doc/agentbridge"
    for name in ("README.md", "SECURITY.md"):
        _install(SOURCE / name, documents)
    # By its own name, packagers' tools would take it for the distribution's changelog.
    _install(SOURCE / "CHANGELOG.md", documents, "NEWS.md")
    example = "systemd/agentbridge.service.d/50-hardening.conf.example"
    _install(SOURCE / example, documents / "examples")
    _settle(destination)


def _call_it(version: str, library: Path) -> None:
    """Give the staged copy another version, its plugin's manifests with it."""
    init = library / "agentbridged" / "__init__.py"
    text = init.read_text(encoding="utf-8")
    init.write_text(
        re.sub(r'(?m)^__version__ = ".*"$', f'__version__ = "{version}"', text), encoding="utf-8"
    )
    render = [sys.executable, "-B", "-m", "agentbridged.ctl.plugin_files"]
    subprocess.run(render, cwd=library, check=True)


def _vendor(wheels: Path, library: Path) -> None:
    """Unpack the wheels, with their licences, without what only a developer reads."""
    for pattern, _ in _orders():
        found = sorted(wheels.glob(pattern))
        if not found:
            raise Failed(f"{wheels} has no {pattern}")
        into = library / "compiled" if pattern.startswith(COMPILED) else library
        with zipfile.ZipFile(found[-1]) as wheel:
            names = [name for name in wheel.namelist() if _is_needed(name)]
            wheel.extractall(into, names)


def _is_needed(name: str) -> bool:
    path = Path(name)
    if path.parts[0].endswith(".dist-info"):
        return path.name == "METADATA" or path.name.lower().startswith(("licen", "copying"))
    return path.suffix not in {".pyi", ".c", ".h"}


def _programs(destination: Path) -> None:
    """Write the programs that pyproject.toml names, to be run by the distribution's Python."""
    project = tomllib.loads((SOURCE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    directory = destination / "usr/bin"
    directory.mkdir(parents=True)
    for name, entry in project["scripts"].items():
        module, _, function = entry.partition(":")
        program = directory / name
        program.write_text(
            _WRAPPER.format(
                interpreter=INTERPRETER, library=LIBRARY, module=module, function=function
            ),
            encoding="utf-8",
        )


def _install(file: Path, directory: Path, name: str | None = None) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, directory / (name or file.name))


def _settle(destination: Path) -> None:
    """Give every file the mode of its kind, whatever the checkout's umask was."""
    for path in [destination, *destination.rglob("*")]:
        program = path.is_dir() or path.parent == destination / "usr/bin"
        program |= path.name == "in-user-managers"
        path.chmod(0o755 if program else 0o644)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Stage what a package of agentbridge installs.")
    parser.add_argument("destination", type=Path)
    parser.add_argument("--wheels", type=Path, default=WHEELS, help="where wheels are kept")
    parser.add_argument("--version", help="instead of the checkout's")
    given = parser.parse_args()
    try:
        stage(given.destination, given.wheels, given.version)
    except Failed as error:
        sys.exit(f"stage.py: {error}")


if __name__ == "__main__":
    main()
