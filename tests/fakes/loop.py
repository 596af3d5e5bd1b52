"""An event loop whose time passes only when nobody has anything left to do.

Timeouts of minutes cost nothing and come out the same each time; `quiet` is the moment at which all that could
happen without time passing has happened. A test that waits for what never comes fails at once, and so does one
that leaves a task or a timer behind.
"""

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any
from unittest import mock

_START = 1_000.0
_LONGEST = 3_600.0


class StuckError(Exception):
    """Everybody waits for somebody."""


class _Selector(selectors.DefaultSelector):
    """Never waits: moves the clock of its loop instead."""

    now = _START
    limit = _START + _LONGEST

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if timeout is None:
            raise StuckError("nothing is left that could happen")
        if self.now > self.limit:
            self.limit = self.now + _LONGEST
            raise StuckError(f"still waiting after {_LONGEST:g} s")
        self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its clock is its selector's."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now

    def stand_still(self, seconds: float) -> None:
        """Time passes, and nobody gets a turn: for a callback that does too much."""
        self._virtual.now += seconds

    def live_timers(self) -> list[asyncio.TimerHandle]:
        return [handle for handle in self._scheduled if not handle.cancelled()]

    @property
    def is_at_rest(self) -> bool:
        """Nobody has anything left to do in this turn or the next, but the caller."""
        return not any(not handle.cancelled() for handle in self._ready)


async def quiet() -> None:
    """Return when all that can happen without time passing has happened."""
    await asyncio.sleep(1e-6)


async def within(turns: int, each: Callable[[], object] = lambda: None) -> None:
    """Wait until nobody has anything left to do, for so many turns at most. Calls `each` before each look."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    for _ in range(turns):
        each()
        if loop.is_at_rest:
            return
        await asyncio.sleep(0)
    each()
    assert loop.is_at_rest, f"not at rest after {turns} turns"


def left_behind() -> list[object]:
    """Tasks besides the caller's own, and timers that still run."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return [*(asyncio.all_tasks() - {asyncio.current_task()}), *loop.live_timers()]


def dialogue(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a coroutine as a test, in virtual time; `time.monotonic` is the loop's clock meanwhile."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        async def watched() -> None:
            await test(*args, **kwargs)
            await quiet()
            assert left_behind() == []

        with asyncio.Runner(loop_factory=VirtualLoop) as runner, mock.patch("time.monotonic", runner.get_loop().time):
            runner.run(watched())

    return run
