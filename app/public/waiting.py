"""Lets one coroutine wait until something has changed.

A wake-up without a waiter is dropped, so the coroutine checks its condition before it waits and after each wake-up.
One waiter at a time. A wait costs one future, and neither a task nor a timer.
"""

import asyncio


class Waiter:
    """One coroutine's place to wait."""

    __slots__ = ("_future",)

    def __init__(self) -> None:
        self._future: asyncio.Future[None] | None = None

    async def wait(self) -> None:
        """Wait for the next `wake`."""
        assert self._future is None  # noqa: S101  (the first waiter would wait forever)
        future = self._future = asyncio.get_running_loop().create_future()
        try:
            await future
        finally:
            self._future = None

    def wake(self) -> None:
        """Wake the waiter, if there is one; idempotent."""
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    def __repr__(self) -> str:
        return f"<Waiter, {'idle' if self._future is None else 'waited on'}>"
