"""Run a module of this tree: ``python3 -I /usr/lib/agentbridge agentbridged.proxy ARGUMENTS``."""

import runpy
import sys

import agentbridge_tree  # noqa: F401

runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
