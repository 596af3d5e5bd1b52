"""Refuses to start several workers on one port, and says why.

One process is one node: agents' links live in one process, so a second worker would have none of them. This holds until
nodes can find each other.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

_REASON = (
    "more than one worker process is not supported: an agent's link lives in one process, and the others would answer "
    "503 for its cluster. Start one worker. For more nodes, give each its own port and each agent a --gateway for each"
)
_STARTUP_FAILED = 3
"""The exit status of a worker that makes uvicorn stop all workers. After any other status it starts a new one."""


def asked_for(arguments: Sequence[str], web_concurrency: str | None) -> int:
    """The number of workers that a server's command line or WEB_CONCURRENCY asks for; 1 by default."""
    for index, argument in enumerate(arguments):
        name, separator, value = argument.partition("=")
        if name in ("--workers", "-w"):
            text = value if separator else next(iter(arguments[index + 1 : index + 2]), "")
            return int(text) if text.isdigit() else 1
    return int(web_concurrency) if web_concurrency and web_concurrency.isdigit() else 1


def is_worker() -> bool:
    """Whether a server's parent process started this one."""
    return multiprocessing.parent_process() is not None


def is_spokesman(workers: int) -> bool:
    """Whether this worker prints the reason. Only the first one does, so that it is printed once.

    The first failure ends all workers by SIGTERM. If that could silence the first worker, every worker prints it.
    """
    number = multiprocessing.current_process().name.rpartition("-")[2]
    is_other = number.isdigit() and 1 < int(number) <= workers
    return not is_other or signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def refuse(workers: int) -> NoReturn:
    """End this worker, and with it the server that started it."""
    if is_spokesman(workers):
        sys.stderr.write(f"tunnel-gateway: {_REASON}\n")
    sys.stdout.flush()
    sys.stderr.flush()
    # Not SystemExit: uvicorn pings its workers and waits 5 s for one that is shutting down.
    os._exit(_STARTUP_FAILED)
