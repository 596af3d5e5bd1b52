"""One process is one node: the agents' links live in it, so a second worker would know none of them.

Several workers on one port are therefore refused at the start, with the reason, until nodes can find each other.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

_REASON = (
    "more than one worker process is not supported: an agent's link lives in one process, and the others would answer "
    "503 for its cluster. Start one worker; more nodes need their own port and a link of each agent (several --gateway)"
)
_STARTUP_FAILED = 3
"""A worker's exit status that makes uvicorn stop all of them; it would replace a worker that ends with any other."""


def asked_for(arguments: Sequence[str], web_concurrency: str | None) -> int:
    """How many workers a server's command line, or WEB_CONCURRENCY, asks for; 1 when it says nothing."""
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
    """Whether this one of so many workers says why it ends: the first, so that it is said once.

    The first failure ends all workers by SIGTERM. Where that would silence the first one, each says it.
    """
    number = multiprocessing.current_process().name.rpartition("-")[2]
    is_other = number.isdigit() and 1 < int(number) <= workers
    return not is_other or signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def refuse(workers: int) -> NoReturn:
    """End this one of so many workers, and with it the server that started it."""
    if is_spokesman(workers):
        sys.stderr.write(f"tunnel-gateway: {_REASON}\n")
    sys.stdout.flush()
    sys.stderr.flush()
    # Not SystemExit: uvicorn asks its workers for a sign of life, and waits 5 s for one that is winding down.
    os._exit(_STARTUP_FAILED)
