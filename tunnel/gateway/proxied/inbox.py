"""The inbox of one proxied exchange: what the agent sent for it and its client has not taken yet.

The link delivers and never waits; the exchange's task receives. The `json` and `chunk` dialects have no flow control,
so pieces for a slow client go to memory, then to temporary files, both bounded. When both are full, this one exchange
ends with `OverflowedError` and no other is delayed. The inbox does not know what the pieces mean.

A piece passes through at most five places. `receive` empties them in this order:

    block       bytes read back from a file, records not yet taken apart
    memory      an anyio memory object stream, bounded in pieces and bytes; used while nothing is spooled
    segments    unlinked temporary files, read from the oldest, written to the newest
    writing     the batch that a thread is writing
    gathering   records that came while a thread was busy

Invariants:
- Order is kept. Memory takes pieces only while segments, writing and gathering are empty (`_unread` is 0). A block is
  loaded only once block and memory are empty.
- At most one job of this inbox is with the disk's threads (`_busy`). No file is closed while it is.
- `held_bytes` <= max(memory_bytes, BATCH_BYTES) + 2 * BATCH_BYTES, where one larger piece may stand for a batch.
  `spooled_bytes` <= file_bytes, including the batches and the part of a segment that was already read.
- Once a piece was refused, all later ones are, so what is received has no gap. What was accepted before can still be
  received, unless the disk itself failed.
- No await between taking something from a place and returning it: a cancelled `receive` loses nothing.
- The account comes last: at its hard mark it may close this very inbox, so the state is consistent before it is told.
"""

import asyncio
from collections import deque
from functools import partial
from struct import Struct
from typing import NamedTuple

import anyio

from tunnel.account import Account, Holding
from tunnel.gateway.proxied.disk import Disk, Segment

PIECE_BYTES = 128
"""What a piece costs in memory besides its payload: a tuple of two (72), a bytes object (33), and its place (8)."""
BATCH_BYTES = 8 * 1024 * 1024
"""The most that is gathered during one write. On a busy link a thread may wait several times 5 ms for the interpreter
(20 ms measured for 1 MiB); 8 MiB last 80 ms at 100 MB/s."""
BLOCK_BYTES = 256 * 1024
"""Read back at once: as much as memory holds."""
PIECES_PER_TURN = 256
"""Received in a row before other tasks get a turn. A block can hold 50,000 empty pieces."""
SEGMENTS = 16
"""Files of a full inbox. A sixteenth of the space is free again as soon as it was read, for at most 17 descriptors."""

_RECORD = Struct("!BI")  # kind, length of the payload
_NOTHING = memoryview(b"")


class Piece(NamedTuple):
    """One message for an exchange: its kind (0 to 255) and its bytes."""

    kind: int
    payload: bytes


class OverflowedError(Exception):
    """Memory and disk for this inbox are full, or its disk failed: the exchange cannot be completed."""


class Inbox:
    """Pieces in order, from the link's reader to one task. Its owner must call `close` in the end."""

    __slots__ = (
        "_block", "_busy", "_closed", "_cursor", "_disk", "_failure", "_file_bytes", "_freed", "_gathering",
        "_holding", "_in_memory", "_memory_bytes", "_receiver", "_segments", "_sender", "_turn", "_unread", "_wake",
        "_wanted", "_writing", "request_id", "spooled_bytes",
    )  # fmt: skip

    def __init__(
        self,
        request_id: str,
        *,
        account: Account,
        disk: Disk,
        memory_bytes: int = 256 * 1024,
        file_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        self.request_id = request_id
        self.spooled_bytes = 0
        self._holding = Holding(account)
        self._disk = disk
        self._memory_bytes = memory_bytes
        self._file_bytes = file_bytes
        # Sized for empty pieces, so that the bound in bytes is always reached first.
        self._sender, self._receiver = anyio.create_memory_object_stream[Piece](memory_bytes // PIECE_BYTES)
        self._in_memory = 0  # bytes in it, including PIECE_BYTES for each piece: 0 means empty
        self._block = _NOTHING
        self._cursor = 0
        self._segments: deque[Segment] = deque()
        self._writing = bytearray()
        self._gathering = bytearray()
        self._unread = 0  # bytes in segments, writing and gathering that are not yet in a block
        self._busy = False
        self._wanted = False  # `receive` found block and memory empty
        self._turn = 0
        self._wake = asyncio.Event()
        self._failure: str | None = None
        self._closed = False
        self._freed = False

    @property
    def held_bytes(self) -> int:
        """Bytes in memory, in all five places."""
        return self._holding.size_bytes

    def deliver(self, kind: int, payload: bytes) -> None:
        """Take a piece, or raise `OverflowedError`. After `close` it is dropped."""
        if self._closed:
            return
        if self._failure is not None:
            raise OverflowedError(self._failure)
        cost = PIECE_BYTES + len(payload)
        if not self._unread and self._holding.size_bytes + cost <= self._memory_bytes:
            self._sender.send_nowait(Piece(kind, payload))
            self._in_memory += cost
            self._wanted = False
            self._wake.set()
            self._holding.add(cost)
            return
        size = _RECORD.size + len(payload)
        if not self._may_spool(size):
            self._failure = self._fullness()
            self._wake.set()
            raise OverflowedError(self._failure)
        self.spooled_bytes += size
        self._unread += size
        self._gathering += _RECORD.pack(kind, len(payload))
        self._gathering += payload
        self._advance()
        self._holding.add(size)

    async def receive(self) -> Piece:
        """The next piece. Raises `anyio.EndOfStream` once closed and empty, `OverflowedError` where one is missing."""
        self._turn = (self._turn + 1) % PIECES_PER_TURN
        if not self._turn:
            await asyncio.sleep(0)
        while True:
            piece = self._take()
            if piece is not None:
                return piece
            if not self._unread:
                if self._failure is not None and not self._freed:
                    raise OverflowedError(self._failure)
                if self._closed:
                    self._free()
                    raise anyio.EndOfStream
            self._wanted = True
            self._wake.clear()
            self._advance()
            await self._wake.wait()

    def close(self, *, discard: bool = True) -> None:
        """Take no more. Idempotent. `discard` False: what is here can still be received, then `EndOfStream`."""
        self._closed = True
        self._sender.close()
        if discard:
            self._free()
        self._wake.set()

    def _take(self) -> Piece | None:
        """The next piece from the block, else from memory."""
        start = self._cursor + _RECORD.size
        if start <= len(self._block):
            kind, length = _RECORD.unpack_from(self._block, self._cursor)
            end = start + length
            if end <= len(self._block):
                piece = Piece(kind, bytes(self._block[start:end]))
                self._cursor = end
                if end == len(self._block):
                    self._block, self._cursor = _NOTHING, 0
                    self._holding.add(-end)
                return piece
        if not self._in_memory:
            return None
        piece = self._receiver.receive_nowait()
        cost = PIECE_BYTES + len(piece.payload)
        self._in_memory -= cost
        self._holding.add(-cost)
        return piece

    def _may_spool(self, size: int) -> bool:
        return (
            self._disk.usable
            and (not self._gathering or len(self._gathering) + size <= BATCH_BYTES)
            and self.spooled_bytes + size <= self._file_bytes
            and self._disk.reserve(size)
        )

    def _advance(self) -> None:
        """Start the next read or write, unless one is running. Reads go first, until the batch is half full."""
        if self._busy or self._freed:
            return
        if self._wanted and self._segments and (len(self._gathering) <= BATCH_BYTES // 2 or not self._disk.usable):
            self._read()
        elif self._wanted and self._gathering and not self._segments:
            self._take_gathered()
        elif self._gathering and self._disk.usable:
            self._write()

    def _take_gathered(self) -> None:
        """Give the batch to the receiver directly: nothing comes before it. The only way where there is no disk."""
        size = len(self._gathering)
        self._block, self._cursor = memoryview(self._gathering), 0
        self._gathering = bytearray()
        self._unread -= size
        self.spooled_bytes -= size
        self._disk.release(size)
        self._wanted = False
        self._wake.set()

    def _write(self) -> None:
        segment = self._segments[-1] if self._segments else None
        if segment is not None and segment.written_bytes >= self._file_bytes // SEGMENTS:
            segment = None
        self._writing, self._gathering = self._gathering, bytearray()
        self._busy = True
        self._disk.run(partial(self._disk.append, segment, self._writing)).add_done_callback(self._written)

    def _written(self, future: asyncio.Future[Segment]) -> None:
        self._busy = False
        batch, self._writing = self._writing, bytearray()
        error = future.exception()
        if error is None:
            segment = future.result()
            if not self._segments or self._segments[-1] is not segment:
                self._segments.append(segment)
            segment.written_bytes += len(batch)
        elif self._disk.refused(error) and not self._freed:
            self._gathering = batch + self._gathering  # there is no disk: keep it in memory
            self._advance()
            return
        self._go_on(error, -len(batch))

    def _read(self) -> None:
        segment = self._segments[0]
        size = BLOCK_BYTES
        if len(self._block) - self._cursor >= _RECORD.size:  # the block ends inside a record: read the rest
            length: int = _RECORD.unpack_from(self._block, self._cursor)[1]
            size = max(size, self._cursor + _RECORD.size + length - len(self._block))
        size = min(size, segment.written_bytes - segment.read_bytes)
        self._busy = True
        self._disk.run(partial(segment.read, size)).add_done_callback(self._loaded)

    def _loaded(self, future: asyncio.Future[bytes]) -> None:
        self._busy = False
        error = future.exception()
        growth = 0
        if error is None and not self._freed:
            data = future.result()
            segment = self._segments[0]
            segment.read_bytes += len(data)
            self._unread -= len(data)
            before = len(self._block)
            self._block = memoryview(bytes(self._block[self._cursor :]) + data)
            self._cursor = 0
            growth = len(self._block) - before
            self._wanted = False
            if segment.read_bytes == segment.written_bytes:
                self._retire(self._segments.popleft())
        self._go_on(error, growth)

    def _go_on(self, error: BaseException | None, growth: int) -> None:
        """After a job. The account comes last."""
        if self._freed:
            self._drop_files()
        elif error is not None:
            self._failure = f"{self._fullness()}, and the disk failed: {error}"
            growth -= self._drop_files()
        self._wake.set()
        self._advance()
        self._holding.add(growth)

    def _free(self) -> None:
        if self._freed:
            return
        self._freed = True
        while self._in_memory:
            self._in_memory -= PIECE_BYTES + len(self._receiver.receive_nowait().payload)
        self._receiver.close()
        self._block, self._cursor = _NOTHING, 0
        self._unread = 0
        if self._busy:
            self._disk.release(len(self._gathering))
            self.spooled_bytes -= len(self._gathering)
            self._gathering = bytearray()
            self._holding.set(len(self._writing))  # held until the thread is done with it
        else:
            self._drop_files()
            self._holding.close()

    def _drop_files(self) -> int:
        """Discard all that is spooled. Returns how many bytes of memory that freed. Only while no job is running."""
        freed = len(self._gathering)
        self._gathering = bytearray()
        while self._segments:
            self._retire(self._segments.popleft())
        self._disk.release(self.spooled_bytes)
        self.spooled_bytes = 0
        self._unread = 0
        return freed

    def _retire(self, segment: Segment) -> None:
        self.spooled_bytes -= segment.written_bytes
        self._disk.retire(segment)

    def _fullness(self) -> str:
        return (
            f"exchange {self.request_id} is not read: {self.held_bytes} bytes in memory (bound {self._memory_bytes}), "
            f"{self.spooled_bytes} spooled (bound {self._file_bytes}; all: {self._disk.used_bytes} of "
            f"{self._disk.limit_bytes})"
        )

    def __repr__(self) -> str:
        state = "failed" if self._failure is not None else "closed" if self._closed else "open"
        return f"<Inbox {self.request_id} {state}, {self.held_bytes} held, {self.spooled_bytes} spooled>"
