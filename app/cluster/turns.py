"""Who waits for whom: calls about the same name one after the other, and many items a few at once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

_Item = TypeVar("_Item")


class _Turn:
    __slots__ = ("calls", "lock")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.calls = 0


class Turns:
    """A lock for each name that somebody has or waits for."""

    def __init__(self) -> None:
        self._turns: dict[str, _Turn] = {}

    @asynccontextmanager
    async def of(self, name: str) -> AsyncIterator[None]:
        """Wait until nobody else has this name, and have it meanwhile."""
        turn = self._turns.setdefault(name, _Turn())
        turn.calls += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.calls -= 1
            if not turn.calls:
                del self._turns[name]

    def __repr__(self) -> str:
        return f"<Turns of {len(self._turns)} names>"


async def in_batches(items: Sequence[_Item], at_once: int, each: Callable[[_Item], Awaitable[None]]) -> None:
    """Do this for each item, so many at once. Raises the first error when its batch is done; the rest is left out."""
    for begin in range(0, len(items), at_once):
        done = await asyncio.gather(*(each(item) for item in items[begin : begin + at_once]), return_exceptions=True)
        for error in done:
            if error is not None:
                raise error
