"""The packages on a machine with a real systemd: installed, started, upgraded, removed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.lab import agents, debian
from tests.lab.machine import HOME, PERSON, Machine, why_not
from tests.lab.packages import build_deb, build_rpm, shelf, why_no_deb, why_no_rpm
from tests.lab.waiting import until

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(300)]

NOW, NEXT = "0.1.0", "0.1.1"
OTHER = "bob"
"""A second user of the machine, whose service manager runs and whose daemon does not."""


LISTS = ("/var/lib/dpkg/", "/var/lib/rpm/", "/var/lib/systemd/")


@dataclass(frozen=True)
class Format:
    """A kind of package, and how the tool that installs it is told."""

    build: Callable[[str], Path]
    why_not: Callable[[], str]
    install: tuple[str, ...]
    upgrade: tuple[str, ...]
    remove: tuple[str, ...]
    purge: tuple[str, ...]


DEB = Format(
    *(build_deb, why_no_deb, ("dpkg", "-i"), ("dpkg", "-i")),
    *(("dpkg", "--remove", "agentbridge"), ("dpkg", "--purge", "agentbridge")),
)
# On a Debian, rpm has to be told that it may, and does not know what dpkg has installed.
_RPM = ("rpm", "--force-debian", "--nodeps")
RPM = Format(
    *(build_rpm, why_no_rpm, (*_RPM, "-i"), (*_RPM, "-U")),
    *((*_RPM, "-e", "agentbridge"), ("true",)),
)


@contextlib.contextmanager
def with_package(
    package: Format = DEB, tree: Path = Path("/")
) -> Iterator[tuple[Machine, set[str]]]:
    """
    Give a machine on which the package is installed, and nobody has started anything.

    With it comes which files there were before.
    """
    if reason := why_not() or package.why_not():
        pytest.skip(reason)
    file = package.build(NOW)
    codex = agents.codex_binary()
    with Machine.booted(show=(shelf(), codex.parent), tree=tree) as machine:
        machine.run("useradd", "--create-home", OTHER, root=True)
        machine.run("loginctl", "enable-linger", OTHER, root=True)
        before = files(machine)
        machine.run(*package.install, file, root=True)
        variables = f"AGENTBRIDGE_CODEX={codex}"
        machine.run(
            *("sh", "-c", "mkdir -p ~/.config/environment.d; cat >~/.config/environment.d/c.conf"),
            input=variables,
        )
        machine.run("systemctl", "--user", "daemon-reload")
        yield machine, before


def status(machine: Machine) -> dict[str, Any]:
    answer = json.loads(machine.run("agentbridgectl", "status", "--json").stdout)
    assert isinstance(answer, dict)
    return answer


def children_run(machine: Machine) -> dict[str, Any]:
    """Wait until both children run, and return the status then."""

    def both() -> dict[str, Any] | None:
        told = status(machine)
        ready = all(told[name]["state"] == "RUNNING" for name in ("app_server", "proxy"))
        return told if ready else None

    told = until(both, "both children run", explain=lambda: json.dumps(status(machine)))
    assert told
    return told


def manager_of(machine: Machine, person: str, *command: str) -> str:
    """Ask a user's service manager, as root, and return what it printed."""
    return machine.run(
        "systemctl", "--user", "--machine", f"{person}@", *command, root=True, check=False
    ).stdout.strip()


def test_a_person_starts_it_and_it_is_there_when_systemctl_returns() -> None:
    with with_package() as (machine, _):
        assert machine.run(
            "systemctl", "--user", "is-enabled", "agentbridge", check=False
        ).stdout == ("disabled\n")
        machine.run("systemctl", "--user", "enable", "--now", "agentbridge")
        told = status(machine)
        assert told["version"] == NOW
        shown = machine.run("systemctl", "--user", "show", "agentbridge", "-P", "MainPID").stdout
        assert told["pid"] == int(shown)
        children_run(machine)
        manifest = "$(agentbridgectl plugin path)/agentbridge/.mcp.json"
        server = json.loads(machine.run("sh", "-c", f"cat {manifest}").stdout)["mcpServers"]
        assert server["agentbridge"]["command"] == "/usr/bin/agentbridge-mcp"
        assert "agentbridged - let Claude" in machine.run("man", "agentbridged").stdout
        machine.reboot()
        until(
            lambda: manager_of(machine, PERSON, "is-active", "agentbridge") == "active",
            "the lingering user's daemon runs after a reboot",
            explain=machine.journal,
        )
        assert status(machine)["version"] == NOW
        assert manager_of(machine, OTHER, "is-active", "agentbridge") == "inactive"


@pytest.mark.parametrize(
    ("package", "elsewhere"),
    [(DEB, False), (DEB, True), (RPM, False)],
    ids=["deb", f"deb on Debian {debian.RELEASE}", "rpm"],
)
def test_an_upgrade_hands_over_what_runs_and_a_removal_leaves_only_what_is_the_users(
    package: Format, elsewhere: bool
) -> None:
    if elsewhere and (reason := debian.why_not()):
        pytest.skip(reason)
    with with_package(package, debian.tree() if elsewhere else Path("/")) as (machine, present):
        machine.run("systemctl", "--user", "enable", "--now", "agentbridge")
        first = children_run(machine)

        machine.run(*package.upgrade, package.build(NEXT), root=True)
        after = runs(machine, NEXT)
        assert after["pid"] != first["pid"]
        for child in ("app_server", "proxy"):
            assert after[child]["pid"] == first[child]["pid"], f"the {child} was not adopted"
        assert manager_of(machine, OTHER, "is-active", "agentbridge") == "inactive"

        machine.run(*package.remove, root=True)
        nothing_runs(machine)
        assert manager_of(machine, PERSON, "is-enabled", "agentbridge") in ("", "not-found")
        machine.run(*package.purge, root=True)
        assert files(machine) ^ present == set()
        only_the_users_files_are_left(machine)


def runs(machine: Machine, version: str) -> dict[str, Any]:
    """Wait until the daemon of this version serves with both children, and return its status."""

    def serves() -> bool:
        asked = machine.run("agentbridgectl", "status", "--json", check=False)
        return asked.returncode == 0 and json.loads(asked.stdout)["version"] == version

    until(serves, f"the daemon is {version}", explain=machine.journal)
    return children_run(machine)


def files(machine: Machine) -> set[str]:
    """
    List what there is where packages put files, but for what lists packages.

    Directories count if they are ours alone: an empty one of fish's, say, goes with either.
    """
    ours = ("!", "-type", "d", "-o", "-name", "*agentbridge*")
    found = machine.run("find", "/usr", "/etc", "/var/lib", *ours, root=True).stdout.splitlines()
    return {path for path in found if not path.startswith(LISTS)}


def nothing_runs(machine: Machine) -> None:
    for words in ("agentbridge", "app-server"):
        assert [process.cmdline() for process in machine.processes(words)] == []


def only_the_users_files_are_left(machine: Machine) -> None:
    found = f"find {HOME} -name '*agentbridge*' -printf '%P\\n'"
    kept = machine.run("sh", "-c", found).stdout.splitlines()
    assert ".local/state/agentbridge/agentbridge.db" in kept
    assert all(path.startswith(".local/state/agentbridge") for path in kept), kept
