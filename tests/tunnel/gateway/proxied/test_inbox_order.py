"""One exchange's inbox under any order of events, against a plain deque."""

import asyncio
import errno
from collections import deque

import anyio
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.tunnel.gateway.proxied.spooling import RECORD, Bench, turns
from tunnel.gateway.proxied import inbox as inbox_module
from tunnel.gateway.proxied.inbox import PIECE_BYTES, OverflowedError, Piece


class Machine(RuleBasedStateMachine):
    """Deliver, receive, cancel, let the disk work, let it fail, close: against a plain deque. Bounds are tiny."""

    MEMORY, FILE, LIMIT, BATCH, BLOCK = 400, 300, 400, 120, 40

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(inbox_module, "BATCH_BYTES", self.BATCH)
        self.patch.setattr(inbox_module, "BLOCK_BYTES", self.BLOCK)
        self.loop = asyncio.new_event_loop()
        self.complaints: list[object] = []
        self.loop.set_exception_handler(lambda _, context: self.complaints.append(context))
        self.bench = Bench(memory_bytes=self.MEMORY, file_bytes=self.FILE, limit_bytes=self.LIMIT)
        self.inbox = self.bench.inbox
        self.expected: deque[Piece] = deque()
        self.task: asyncio.Task[Piece] | None = None
        self.number = 0
        self.largest = 0
        self.failed = self.broken = self.closed = self.discarded = False

    def run(self, coroutine):
        return self.loop.run_until_complete(coroutine)

    async def call_deliver(self, kind: int, payload: bytes) -> None:
        self.inbox.deliver(kind, payload)

    async def call_close(self, discard: bool) -> None:
        if self.task is not None and self.task.done():  # it got its piece before
            self.check_received(self.task)
        self.inbox.close(discard=discard)

    @rule(size=st.one_of(st.integers(0, 60), st.integers(0, 330)), kind=st.integers(0, 255))
    def deliver(self, size: int, kind: int) -> None:
        self.number = (self.number + 1) % 251
        payload = bytes([self.number]) * size
        roomy = not self.inbox.spooled_bytes and self.inbox.held_bytes + PIECE_BYTES + size <= self.MEMORY
        try:
            self.run(self.call_deliver(kind, payload))
        except OverflowedError:
            assert not self.closed
            assert self.failed or not roomy
            self.failed = True
        else:
            assert self.closed or not self.failed
            if not self.closed:
                self.largest = max(self.largest, size)
                self.expected.append(Piece(kind, payload))

    @precondition(lambda self: self.task is None)
    @rule()
    def begin_receive(self) -> None:
        self.task = self.loop.create_task(self.inbox.receive())

    @precondition(lambda self: self.task is not None)
    @rule()
    def look_at_receive(self) -> None:
        self.run(turns())
        assert self.task is not None
        if self.task.done():
            self.check_received(self.task)
        else:
            assert not self.discarded
            assert not self.expected or self.bench.hand.jobs, "a piece is there, and nobody is at work to bring it"
            assert self.expected or not (self.closed or self.failed)

    @precondition(lambda self: self.task is not None)
    @rule()
    def cancel_receive(self) -> None:
        task = self.task
        assert task is not None
        self.task = None
        task.cancel()
        self.run(asyncio.wait([task]))
        if not task.cancelled():
            self.check_received(task)

    def check_received(self, task: "asyncio.Task[Piece]") -> None:
        self.task = None
        error = task.exception()
        self.failed = self.failed or self.inbox._failure is not None
        if error is None:
            assert task.result() == self.expected.popleft()
        elif isinstance(error, OverflowedError):
            assert self.failed
            assert not self.discarded
            assert self.broken or not self.expected
            self.expected.clear()
        else:
            assert isinstance(error, anyio.EndOfStream)
            assert self.closed
            assert self.discarded or not self.expected
            self.discarded = True

    @precondition(lambda self: self.bench.hand.jobs)
    @rule(count=st.integers(1, 3))
    def disk_works(self, count: int) -> None:
        for _ in range(min(count, len(self.bench.hand.jobs))):
            self.bench.hand.step()
        self.run(turns())

    @precondition(lambda self: self.bench.hand.jobs)
    @rule()
    def disk_works_and_nobody_hears_of_it_yet(self) -> None:
        self.bench.hand.step()

    @precondition(lambda self: self.number > 3)
    @rule(where=st.sampled_from(["opening", "using"]), code=st.sampled_from([errno.ENOSPC, errno.EROFS]))
    def disk_fails(self, where: str, code: int) -> None:
        setattr(self.bench.disk, where, OSError(code, "out of order"))
        self.broken = True

    @precondition(lambda self: self.broken)
    @rule()
    def disk_recovers(self) -> None:
        self.bench.disk.opening = self.bench.disk.using = None

    @precondition(lambda self: self.number > 5)
    @rule(discard=st.booleans())
    def close(self, discard: bool) -> None:
        self.run(self.call_close(discard))
        self.closed = True
        if discard:
            self.discarded = True
            self.expected.clear()

    @invariant()
    def counted(self) -> None:
        self.failed = self.failed or self.inbox._failure is not None
        assert self.bench.account.held_bytes == self.inbox.held_bytes >= 0
        batch = max(self.BATCH, self.largest + RECORD)
        assert self.inbox.held_bytes <= max(self.MEMORY, batch) + 2 * batch
        assert 0 <= self.inbox.spooled_bytes <= self.FILE
        assert self.inbox.spooled_bytes <= self.bench.disk.used_bytes <= self.LIMIT
        if self.discarded:
            assert self.inbox.held_bytes <= batch

    def teardown(self) -> None:
        try:
            self.run(self.bench.settle())
            if self.task is not None and self.task.done():
                self.check_received(self.task)
            elif self.task is not None:
                self.cancel_receive()
            self.run(self.call_close(discard=False))
            self.closed = True
            self.counted()
            if not self.failed and not self.broken:
                pieces = self.run(self.bench.drained())
                assert pieces == [piece.payload for piece in self.expected]
            self.run(self.bench.ended())
            assert self.complaints == []
        finally:
            self.run(self.call_close(discard=True))
            self.patch.undo()
            self.loop.close()


Machine.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate]
)
TestAnyOrder = Machine.TestCase
