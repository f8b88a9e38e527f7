"""
What the two managed children are started with: program, arguments, environment, sockets.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from agentbridged import peercred
from agentbridged.children import environment as environments
from agentbridged.children.process import Launch
from agentbridged.codex.server import control_socket
from agentbridged.config import Config
from agentbridged.errors import ConfigError
from agentbridged.paths import Paths

log = logging.getLogger(__name__)
