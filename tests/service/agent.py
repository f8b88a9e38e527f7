"""What launchd would refuse, ignore or take amiss in a LaunchAgent (launchd.plist(5))."""

from __future__ import annotations

import plistlib
from typing import Any

TYPES: dict[str, tuple[type, ...]] = {
    "AbandonProcessGroup": (bool,),
    "EnvironmentVariables": (dict,),
    "ExitTimeOut": (int,),
    "KeepAlive": (bool, dict),
    "Label": (str,),
    "LimitLoadToSessionType": (str, list),
    "ProcessType": (str,),
    "ProgramArguments": (list,),
    "RunAtLoad": (bool,),
    "StandardErrorPath": (str,),
    "StandardOutPath": (str,),
    "ThrottleInterval": (int,),
    "Umask": (int,),
    "WorkingDirectory": (str,),
}
"""The keys that we use, and their types. A new one is looked up first."""

KEEP_ALIVE: dict[str, tuple[type, ...]] = {"SuccessfulExit": (bool,), "Crashed": (bool,)}
WORDS = {
    "ProcessType": {"Adaptive", "Background", "Interactive", "Standard"},
    "LimitLoadToSessionType": {"Aqua", "Background", "LoginWindow", "StandardIO", "System"},
}


def problems(plist: bytes) -> list[str]:
    """Return what is wrong with an agent; nothing, when it is as it is meant."""
    try:
        job = plistlib.loads(plist)
    except Exception as error:  # whatever the parser of its XML raises
        return [f"no plist: {error}"]
    found = _of_types(job, TYPES, "")
    if isinstance(job.get("KeepAlive"), dict):
        found += _of_types(job["KeepAlive"], KEEP_ALIVE, "KeepAlive.")
    found += [f"{key} is missing" for key in ("Label", "ProgramArguments") if not job.get(key)]
    return found + _of_words(job) + _of_paths(job) + _of_variables(job)


def _of_types(values: dict[str, Any], known: dict[str, tuple[type, ...]], where: str) -> list[str]:
    found = []
    for key, value in values.items():
        if key not in known:
            found.append(f"{where}{key} is unknown")
        elif type(value) not in known[key]:  # isinstance() would take true for an integer
            found.append(f"{where}{key} is a {type(value).__name__}")
    return found


def _of_words(job: dict[str, Any]) -> list[str]:
    found = []
    for key, known in WORDS.items():
        value = job.get(key, [])
        words = [value] if isinstance(value, str) else value
        found += [f"{key} does not know {word}" for word in words if word not in known]
    return found


def _of_paths(job: dict[str, Any]) -> list[str]:
    paths = {key: str(job[key]) for key in job if key.endswith(("Path", "Directory"))}
    paths |= {"ProgramArguments": str((job.get("ProgramArguments") or ["/"])[0])}
    entries = str(dict(job.get("EnvironmentVariables") or {}).get("PATH", "/")).split(":")
    paths |= {f"PATH entry {n}": entry for n, entry in enumerate(entries)}
    found = [f"{key} is not absolute: {path}" for key, path in paths.items() if path[:1] != "/"]
    return found + [
        f"{key} is not expanded: {p}" for key, p in paths.items() if set(p) & set("~$@")
    ]


def _of_variables(job: dict[str, Any]) -> list[str]:
    variables = dict(job.get("EnvironmentVariables") or {})
    return [f"{name} is no text" for name, value in variables.items() if not isinstance(value, str)]
