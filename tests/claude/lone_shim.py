"""
A shim in a process of its own: ``lone_shim.py SOCKET SESSION``.

It attaches with its own pid, writes the answer to stdout, and reads until it is ended.
"""

import json
import os
import sys

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import unix_connect


def main() -> None:
    path, session = sys.argv[1:]
    params: dict[str, object] = {"contract": 1, "project_dir": "/work/p", "session_id": session}
    params["claude_pid"] = os.getpid()
    attach = {"jsonrpc": "2.0", "id": 1, "method": "attach", "params": params}
    with unix_connect(path, compression=None, ping_interval=None) as ws:
        ws.send(json.dumps(attach))
        try:
            for frame in ws:
                print(frame, flush=True)
        except ConnectionClosed:
            pass
        print(ws.protocol.close_code, ws.protocol.close_reason, flush=True)


main()
