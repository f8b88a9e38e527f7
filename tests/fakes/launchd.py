#!/usr/bin/env python3
"""
Runs a LaunchAgent's plist as launchd would, on any system: ``launchd.py PLIST``.

It gives the job next to no environment, "/" or its WorkingDirectory, no input, its Umask, its log
files (whose directory must be there); starts it again as KeepAlive says, at least ThrottleInterval
apart; ends it with SIGTERM and, after ExitTimeOut, SIGKILL; and ends its process group after it
unless AbandonProcessGroup. SIGTERM to this is ``launchctl bootout``. One line on stdout tells each
event: ``spawn PID``, ``exit STATUS``, ``throttled``, ``done``, ``killed``.
"""

from __future__ import annotations

import contextlib
import os
import plistlib
import pwd
import signal
import subprocess
import sys
import threading
import time
from typing import Any

BARE_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"

booted_out = threading.Event()


def environment(job: dict[str, Any]) -> dict[str, str]:
    user = pwd.getpwuid(os.getuid())
    own = {
        "PATH": BARE_PATH,
        "HOME": user.pw_dir,
        "USER": user.pw_name,
        "LOGNAME": user.pw_name,
        "SHELL": "/bin/sh",
        "TMPDIR": "/tmp/",
        "XPC_SERVICE_NAME": job["Label"],
    }
    return {**own, **job.get("EnvironmentVariables", {})}


def spawn(job: dict[str, Any]) -> subprocess.Popen[bytes]:
    with (
        open(job.get("StandardOutPath", os.devnull), "ab") as out,
        open(job.get("StandardErrorPath", os.devnull), "ab") as err,
    ):
        return subprocess.Popen(
            job["ProgramArguments"],
            executable=job.get("Program"),
            env=environment(job),
            cwd=job.get("WorkingDirectory", "/"),
            umask=job.get("Umask", 0o022),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )


def run_once(job: dict[str, Any]) -> int:
    process = spawn(job)
    print("spawn", process.pid, flush=True)
    ended = threading.Thread(target=process.wait, daemon=True)
    ended.start()
    while ended.is_alive() and not booted_out.is_set():
        ended.join(0.05)
    if ended.is_alive():
        process.terminate()
        ended.join(job.get("ExitTimeOut", 20))
        if ended.is_alive():
            process.kill()
            ended.join()
            print("killed", flush=True)
    if not job.get("AbandonProcessGroup"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
    print("exit", process.returncode, flush=True)
    status: int = process.returncode
    return status


def is_kept_alive(job: dict[str, Any], status: int) -> bool:
    rule = job.get("KeepAlive", False)
    if isinstance(rule, bool):
        return rule
    wanted: bool | None = rule.get("SuccessfulExit")
    return wanted is not None and wanted == (status == 0)


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: booted_out.set())
    with open(sys.argv[1], "rb") as file:
        job = plistlib.load(file)
    while not booted_out.is_set():
        begun = time.monotonic()
        status = run_once(job)
        if booted_out.is_set() or not is_kept_alive(job, status):
            break
        pause = begun + job.get("ThrottleInterval", 10) - time.monotonic()
        if pause > 0:
            print("throttled", flush=True)
            booted_out.wait(pause)
    print("done", flush=True)


main()
