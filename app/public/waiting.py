"""One coroutine that waits until somebody says that something has changed.

Who waits looks first at what it waits for, and again after each `wake`: one that nobody waits for is not kept. One
waiter at a time; costs a future per wait, and neither a task nor a timer.
"""

import asyncio


class Waiter:
    """Where one coroutine waits."""

    __slots__ = ("_future",)

    def __init__(self) -> None:
        self._future: asyncio.Future[None] | None = None

    async def wait(self) -> None:
        """Until the next `wake`."""
        assert self._future is None  # noqa: S101  (the first one would wait for ever)
        future = self._future = asyncio.get_running_loop().create_future()
        try:
            await future
        finally:
            self._future = None

    def wake(self) -> None:
        """Something has changed; idempotent."""
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    def __repr__(self) -> str:
        return f"<Waiter, {'idle' if self._future is None else 'waited on'}>"
