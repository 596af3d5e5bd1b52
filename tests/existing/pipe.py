"""The unbuffered pipe between the agent's read loop and a request's body (section 5.3).

A write returns when the reader has taken the piece, or has gone away: a slow service holds up the writer, who is the
only reader of the gateway's socket. A pipe that nobody ever reads holds it for good.
"""

import asyncio


class CancelledUploadError(Exception):
    """The writer gave up (`proxy_cancel`)."""


class Pipe:
    """One streamed request body."""

    def __init__(self) -> None:
        self._piece: bytes | None = None
        self._ended = False
        self._failed = False
        self._reader_gone = False
        self._changed = asyncio.Condition()
        self.starving = False
        """Whether the reader waits for a piece: while it does, no limit of the request fires."""
        self.moved = asyncio.Event()
        """Set by the next piece, end or cancel after it was cleared."""

    async def _change(self) -> None:
        self.moved.set()
        async with self._changed:
            self._changed.notify_all()

    async def write(self, data: bytes) -> None:
        """Returns when the piece was taken or is of no use any more."""
        self._piece = data
        await self._change()
        async with self._changed:
            await self._changed.wait_for(lambda: self._piece is None or self._reader_gone)

    async def end(self) -> None:
        """No more pieces."""
        self._ended = True
        await self._change()

    async def cancel(self) -> None:
        """The reader fails with CancelledUploadError."""
        self._failed = True
        await self._change()

    async def leave(self) -> None:
        """The reader's: later pieces are discarded without blocking."""
        self._reader_gone = True
        await self._change()

    async def read(self) -> bytes | None:
        """The next piece, None at the end; who does not come back for it holds up the writer."""
        async with self._changed:
            self.starving = True
            try:
                await self._changed.wait_for(lambda: self._failed or self._piece is not None or self._ended)
            finally:
                self.starving = False
            if self._failed:
                raise CancelledUploadError
            piece, self._piece = self._piece, None
            self._changed.notify_all()
            return piece
