"""
The demonstration: a real Codex and a real Claude Code talk to each other through agentbridge.

Both models are scripted and on loopback, everything else is real: plain ``codex`` and plain
``claude`` in terminals of their own, the daemon, the plugin. Everything lies in a temporary home
below the cache directory and is gone afterwards; ``KEEP=1`` leaves it open until Ctrl-C.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from io import TextIOWrapper

import psutil

from tests.lab.agents import AgentsMissing
from tests.lab.claude import tool
from tests.lab.tui import ClaudeTui, CodexTui
from tests.lab.waiting import NeverHappened, until
from tests.lab.world import World

QUESTION = "What is 6 times 7?"
ANSWER = "6 times 7 is 42."
TYPED = "%final The tests pass now."
SAID = "The tests pass now."
REAP_PATIENCE = 5


def main() -> int:
    """Run the demonstration; the exit status is 0 when every message crossed."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        with World.open(prefer_path=True) as world:
            codex, claude = open_all(world)
            cross(world, codex, claude)
            show(codex, claude)
            if os.environ.get("KEEP"):
                keep_open(world, codex, claude)
    except (AgentsMissing, NeverHappened, AssertionError) as error:
        print(f"make demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # who read this went away; everything is closed all the same
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    with contextlib.suppress(NeverHappened):  # until init, who inherits some, has forgotten them
        until(lambda: not any(map(psutil.pid_exists, world.ended)), "", within=REAP_PATIENCE)
    print("\nAll of it is closed; nothing is left running.")
    return 0


def step(text: str) -> None:
    """Say what happens now."""
    print(f"  {text}", flush=True)


def open_all(world: World) -> tuple[CodexTui, ClaudeTui]:
    """Start the daemon and both agents, and wait until they are bridged."""
    print("A temporary home, two scripted models on loopback, and:", flush=True)
    step("agentbridgectl plugin install")
    world.install_plugin()
    step("agentbridged")
    world.start_daemon()
    step("codex      the real one, plain, in a terminal of its own")
    codex = world.codex_tui()
    step("claude     the real one, plain, in a terminal of its own")
    claude = world.claude_tui()
    bridge = world.wait_bridged(seat=claude.pid)
    step(f"bridged    {bridge['id']}: Claude pid {claude.pid}, Codex thread ready\n")
    return codex, claude


def cross(world: World, codex: CodexTui, claude: ClaudeTui) -> None:
    """Let each side's words reach the other, and print how long it took."""
    call = tool("send_to_codex", text=f"{QUESTION}\n%final {ANSWER}")
    claude.say(f"Ask Codex. {call} ;; !say I asked Codex.")
    asked = world.messages.wait_for(lambda r: "send_to_codex" in r["step"], "Claude asks Codex")
    came = world.responses.wait_for_prompt(QUESTION, explain=world.report)
    report("Claude → Codex", QUESTION, asked["at"], came["at"])
    codex.terminal.wait_for(ANSWER)

    woken = world.messages.wait_for_text(f">{ANSWER}", explain=world.report)
    report("Codex → Claude", ANSWER, came["at"], woken["at"])
    claude.wait_idle()

    codex.say(TYPED)
    typed = world.responses.wait_for_prompt(TYPED, explain=world.report)
    heard = world.messages.wait_for_text(f">{SAID}", explain=world.report)
    report("A line typed in Codex → Claude", SAID, typed["at"], heard["at"])
    claude.wait_idle()


def report(way: str, text: str, left: float, came: float) -> None:
    """Print one crossing."""
    print(f'{way}: "{text}" arrived after {came - left:.2f} s', flush=True)


def show(codex: CodexTui, claude: ClaudeTui) -> None:
    """Print both screens as text."""
    for tui in (claude, codex):
        print(f"\n┌─ {tui.name} {'─' * (96 - len(tui.name))}")
        lines = [line.rstrip() for line in tui.terminal.screen().splitlines()]
        for above, line in zip(["", *lines], lines, strict=False):
            if line or above:  # of several empty lines, one
                print(f"│ {line}")
        print(f"└{'─' * 99}")


def keep_open(world: World, codex: CodexTui, claude: ClaudeTui) -> None:
    """Leave everything running until Ctrl-C."""
    print("\nOpen to play with, each in a terminal of yours:")
    print(f"  Claude Code:  {claude.terminal.attach_command}")
    print(f"  Codex:        {codex.terminal.attach_command}")
    print(f"  Daemon: AGENTBRIDGE_RUNTIME_DIR={world.runtime} .venv/bin/agentbridgectl status")
    print("The models only play scripts: type `%final hello Claude` in Codex. Ctrl-C here ends it.")
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()


if __name__ == "__main__":
    sys.exit(main())
