"""What one turn of an event loop costs: the CPU time of all callbacks between two polls; nobody else is served then.

Only the time of the loop's own thread counts, so other processes and other threads change nothing. Collections of
garbage are counted apart: they come whenever enough objects were made, whoever made them. What the loop does for itself
is not counted: asyncio's own looks through all its timers now and then (10 ms for 20,000), uvloop does not.
"""

import asyncio
import gc
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

TOLD_MILLISECONDS = 4.0
"""A longer turn is told on standard error, with what it called."""


@dataclass
class Longest:
    """The longest of what was measured, in milliseconds."""

    turn: float = 0.0
    """All callbacks between two polls."""
    callback: float = 0.0
    """One callback, with all that it calls."""
    collection: float = 0.0
    """One collection of garbage, within a turn but not counted in it."""
    turns: int = 0


class TurnLoop(asyncio.SelectorEventLoop):
    """Measures its turns while it is `measuring`, but for the last one, in which somebody ends that."""

    def __init__(self) -> None:
        super().__init__()
        self._longest: Longest | None = None
        self._called: Counter[str] = Counter()  # in this turn: microseconds by name
        self._collecting = 0.0  # CPU seconds of the collections in this turn
        self._collection_began = 0.0

    @contextmanager
    def measuring(self) -> Iterator[Longest]:
        """Measure every turn from the next one on."""
        longest = self._longest = Longest()
        run = asyncio.Handle._run
        loop = self

        def measured(handle: asyncio.Handle) -> None:
            callback = handle._callback  # type: ignore[attr-defined]
            collected, began = loop._collecting, time.thread_time()
            run(handle)
            spent = 1000 * (time.thread_time() - began - (loop._collecting - collected))
            if loop._longest is not None:
                longest.callback = max(longest.callback, spent)
                loop._called[_name(callback)] += round(1000 * spent)

        asyncio.Handle._run = measured  # type: ignore[method-assign]
        gc.callbacks.append(self._collected)
        try:
            yield longest
        finally:
            self._longest = None
            gc.callbacks.remove(self._collected)
            asyncio.Handle._run = run  # type: ignore[method-assign]

    def _run_once(self) -> None:
        longest = self._longest
        self._collecting = 0.0
        self._called.clear()
        super()._run_once()  # type: ignore[misc]
        if longest is None or self._longest is not longest:
            return
        spent = self._called.total() / 1000
        if spent > TOLD_MILLISECONDS:
            print(f"a turn of {spent:.1f} ms, us: {self._called.most_common(5)}", file=sys.stderr)
        longest.turn = max(longest.turn, spent)
        longest.turns += 1

    def _collected(self, phase: str, _: dict[str, Any]) -> None:
        if asyncio._get_running_loop() is not self or self._longest is None:
            return  # in another thread
        now = time.thread_time()
        if phase == "start":
            self._collection_began = now
        else:
            self._collecting += now - self._collection_began
            self._longest.collection = max(self._longest.collection, 1000 * (now - self._collection_began))


def _name(callback: Any) -> str:
    """Of the function, or of the coroutine of a task."""
    task = getattr(callback, "__self__", None)
    if isinstance(task, asyncio.Task):
        return getattr(task.get_coro(), "__qualname__", "a task")
    inner = getattr(callback, "func", callback)
    return getattr(inner, "__qualname__", type(inner).__name__)
