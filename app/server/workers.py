"""One process is one node: the agents' links live in it, so a second worker would know none of them.

Several workers on one port are therefore refused at the start, with the reason, until nodes can find each other.
"""

import multiprocessing
from collections.abc import Sequence

REASON = (
    "more than one worker process is not supported: an agent's link lives in one process, and the others would answer "
    "503 for its cluster. Start one worker; more nodes need their own port and a link of each agent (several --gateway)"
)


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
