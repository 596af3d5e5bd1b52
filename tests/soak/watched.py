"""Runs a module as `python -m` would, and says what it holds when asked: `python -m tests.soak.watched MODULE ...`.

On SIGUSR1 it prints one line `holds NUMBER {...}`: its tasks, its threads, and how many live objects there are of each
class of the product. It changes nothing else; the module does not know of it.
"""

import asyncio
import gc
import json
import runpy
import signal
import sys
import threading
from collections import Counter
from itertools import count
from types import FrameType

MARK = "holds"
_PACKAGES = ("app.", "tunnel.")


def held() -> dict[str, object]:
    gc.unfreeze()  # what the product's collector sets aside is held too
    gc.collect()
    objects = Counter(
        f"{kind.__module__}.{kind.__qualname__}"
        for kind in map(type, gc.get_objects())
        if str(kind.__module__).startswith(_PACKAGES)  # str: of some types it is a descriptor
    )
    tasks = Counter(str(getattr(task.get_coro(), "__qualname__", "?")) for task in asyncio.all_tasks())
    return {"tasks": tasks, "objects": objects, "threads": threading.active_count()}


def main() -> None:
    numbers = count(1)

    def report(_: int, __: FrameType | None) -> None:
        print(f"{MARK} {next(numbers)} {json.dumps(held())}", file=sys.stderr, flush=True)

    signal.signal(signal.SIGUSR1, report)
    module, *sys.argv[1:] = sys.argv[1:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
