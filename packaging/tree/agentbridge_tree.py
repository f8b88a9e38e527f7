"""
What a package's own tree needs before anything of agentbridge's is imported.

msgspec is compiled. The package brings it for several versions of CPython and several machines,
side by side, and the interpreter picks by their file names. Where none fits, the distribution's
msgspec is taken; where there is none either, one line says so.
"""

import sys
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from os.path import dirname, exists, join

_COMPILED = join(dirname(__file__), "compiled")

if any(exists(join(_COMPILED, "msgspec", f"_core{suffix}")) for suffix in EXTENSION_SUFFIXES):
    sys.path.insert(1, _COMPILED)
elif find_spec("msgspec") is None:
    sys.exit(
        f"agentbridge: its package has no msgspec for this Python ({EXTENSION_SUFFIXES[0]}); "
        "install the distribution's own (python3-msgspec)"
    )
