"""An `Inbox` on a bench: its disk's threads work when told to, and its files fail when told to."""

import asyncio
import inspect
import io
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import anyio

from tunnel.account import Account
from tunnel.gateway.proxied.disk import Disk
from tunnel.gateway.proxied.inbox import Inbox, Piece

RECORD = 5
"""A record's header in a file: kind and length."""


class HandExecutor(Executor):
    """Runs a job when told to, in the caller's thread."""

    def __init__(self) -> None:
        self.jobs: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self.stopped = False

    def submit(self, fn, /, *args, **kwargs):
        if self.stopped:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future: Future[Any] = Future()
        self.jobs.append((future, lambda: fn(*args, **kwargs)))
        return future

    def step(self) -> None:
        future, job = self.jobs.popleft()
        try:
            future.set_result(job())
        except OSError as error:
            future.set_exception(error)

    def shutdown(self, wait=True, *, cancel_futures=False) -> None:
        self.stopped = True


async def turns() -> None:
    """Let what is ready run: a thread's outcome takes two turns of the loop to its callback, and one to a task."""
    for _ in range(5):
        await asyncio.sleep(0)


class FaultyDisk(Disk):
    """Opens files in memory; the error that is set is what the next use of a file, or the next opening, says."""

    def __init__(self, limit_bytes: int, hand: HandExecutor) -> None:
        super().__init__(limit_bytes, executor=hand)
        self.opening: OSError | None = None
        self.using: OSError | None = None
        self.files: list[io.BytesIO] = []

    def open_file(self):
        if self.opening is not None:
            raise self.opening
        disk = self

        class File(io.BytesIO):
            def write(self, data, /):
                if disk.using is not None:
                    raise disk.using
                return super().write(data)

            def read(self, size=-1, /):
                if disk.using is not None:
                    raise disk.using
                return super().read(size)

        self.files.append(File())
        return self.files[-1]


class Bench:
    """An inbox with its account and its disk, whose threads wait to be told."""

    def __init__(self, *, memory_bytes: int = 0, file_bytes: int = 10_000, limit_bytes: int = 100_000) -> None:
        self.hand = HandExecutor()
        self.disk = FaultyDisk(limit_bytes, self.hand)
        self.account = Account()
        self.inbox = Inbox(
            "req-1", account=self.account, disk=self.disk, memory_bytes=memory_bytes, file_bytes=file_bytes
        )

    async def settle(self) -> None:
        """The disk does all that it is asked."""
        await turns()
        while self.hand.jobs:
            self.hand.step()
            await turns()

    async def step(self) -> None:
        self.hand.step()
        await turns()

    async def drained(self) -> list[bytes]:
        """All payloads until the end of the inbox; the disk works meanwhile."""
        found: list[bytes] = []
        while True:
            task = asyncio.ensure_future(self.inbox.receive())
            await self.settle()
            assert task.done()
            try:
                found.append(task.result().payload)
            except anyio.EndOfStream:
                return found

    async def received(self) -> Piece:
        task = asyncio.ensure_future(self.inbox.receive())
        await self.settle()
        assert task.done()
        return task.result()

    async def ended(self) -> None:
        self.inbox.close()
        await self.settle()
        assert (self.inbox.held_bytes, self.inbox.spooled_bytes) == (0, 0)
        assert (self.account.held_bytes, self.disk.used_bytes) == (0, 0)
        assert all(file.closed for file in self.disk.files)


def asynchronous(test):
    """Run a coroutine test on a loop of its own; what the loop would only log fails the test."""

    def run(**fixtures) -> None:
        complaints: list[object] = []

        async def watched() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
            await test(**fixtures)

        asyncio.run(watched())
        assert complaints == []

    run.__name__ = test.__name__
    run.__signature__ = inspect.signature(test)  # type: ignore[attr-defined]
    return run
