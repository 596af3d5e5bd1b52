"""Runs a program of ours that can be asked for its windows: `python -m tests.system.windows_of SOCKET MODULE ...`.

A thread listens on a Unix socket and answers each connection with the sizes of all live receive windows, in bytes,
as JSON. The program itself knows nothing of it.
"""

import gc
import json
import runpy
import socket
import sys
import threading
from pathlib import Path

from tunnel.yamux.windows import ReceiveWindow


def answer(listener: socket.socket) -> None:
    while True:
        asker, _ = listener.accept()
        with asker:
            sizes = [one.size for one in gc.get_objects() if isinstance(one, ReceiveWindow)]
            asker.sendall(json.dumps(sizes).encode())


def largest(path: Path) -> int:
    """The largest live window of the program that listens there."""
    with socket.socket(socket.AF_UNIX) as asker:
        asker.connect(str(path))
        with asker.makefile("rb") as stream:
            return max(json.load(stream), default=0)


if __name__ == "__main__":
    del sys.argv[0]
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(sys.argv[0])
    listening.listen()
    threading.Thread(target=answer, args=(listening,), daemon=True).start()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
