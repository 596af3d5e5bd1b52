"""The process's temporary files: how many bytes they may hold together, and the threads that use them.

One per process, shared by every `Inbox`. It never blocks the event loop: a few threads open, write, read and close the
files. It leaves no name in the file system: a file has mode 0600 and is unlinked before its first byte is written, so
it is gone with its descriptor, even after a crash.

Invariants: `used_bytes` never exceeds `limit_bytes`. Bytes are reserved before they are written, and released only once
the descriptor is closed. Methods that run in a thread say so and change no count; all others run on the event loop.
"""

import asyncio
import errno
import logging
import tempfile
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

THREADS = 4
"""Enough that one stalled write does not delay every slow client. More would not make a disk faster."""

_NO_DISK = {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR}
"""Errors after which no file can ever be opened. Others (disk full, no descriptors left) may pass."""


class Segment:
    """One temporary file, written at its end and read from its start, by one thread at a time."""

    __slots__ = ("file", "read_bytes", "written_bytes")

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.read_bytes = 0
        self.written_bytes = 0

    def write(self, data: bytes | bytearray) -> None:
        """Write all of `data` after the last byte. In a thread; the caller updates `written_bytes`."""
        self.file.seek(self.written_bytes)
        rest = memoryview(data)
        while rest:
            rest = rest[self.file.write(rest) :]

    def read(self, size: int) -> bytes:
        """Read exactly `size` bytes. In a thread; the caller updates `read_bytes`."""
        self.file.seek(self.read_bytes)
        parts: list[bytes] = []
        while size:
            part = self.file.read(size)
            if not part:
                raise OSError(errno.EIO, "a temporary file lost its end")
            parts.append(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Release the bytes. In a thread: freeing the blocks of a large file takes milliseconds."""
        with suppress(OSError):  # the descriptor is closed in any case, and nobody needs the bytes
            self.file.close()


class Disk:
    """The bound of all temporary files, and their I/O. `folder` None: the system's folder for temporary files.

    `usable` is False with a limit of 0, after `aclose`, and once no file could be opened because there is no place for
    it (a read-only file system). That is found at the first use and logged once.
    """

    __slots__ = ("_closed", "_executor", "_folder", "_gone", "_jobs", "limit_bytes", "used_bytes")

    def __init__(self, limit_bytes: int, folder: Path | None = None, *, executor: Executor | None = None) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self._folder = folder
        self._executor = executor
        self._gone = False
        self._closed = False
        self._jobs: set[asyncio.Future[object]] = set()

    @property
    def usable(self) -> bool:
        """Whether pieces may be written at all."""
        return self.limit_bytes > 0 and not self._gone and not self._closed

    def reserve(self, size: int) -> bool:
        """Take `size` bytes of the limit. False, and nothing taken, if fewer are free."""
        if self.used_bytes + size > self.limit_bytes:
            return False
        self.used_bytes += size
        return True

    def release(self, size: int) -> None:
        """Return reserved bytes that are in no file."""
        self.used_bytes -= size

    def run(self, job: Callable[[], _T]) -> asyncio.Future[_T]:
        """Run `job` in a thread. The result is an OSError if there is no thread, as after `aclose`."""
        loop = asyncio.get_running_loop()
        try:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="spool")
            future = loop.run_in_executor(self._executor, job)
        except RuntimeError as error:  # it was shut down, or the process may not start more threads
            refused: asyncio.Future[_T] = loop.create_future()
            refused.set_exception(OSError(errno.EAGAIN, str(error)))
            return refused
        untyped = cast("asyncio.Future[object]", future)
        self._jobs.add(untyped)
        untyped.add_done_callback(self._jobs.discard)
        return future

    def retire(self, segment: Segment) -> None:
        """Close a segment that no thread uses any more, then release its bytes."""
        if self._closed:
            segment.close()
            self.release(segment.written_bytes)
        else:
            self.run(segment.close).add_done_callback(partial(self._retired, segment))

    def _retired(self, segment: Segment, future: "asyncio.Future[None]") -> None:
        if future.exception() is not None:  # there was no thread for it
            segment.close()
        self.release(segment.written_bytes)

    def refused(self, error: BaseException) -> bool:
        """Whether `error`, raised by `append`, means that there is no disk. Remembered, and logged once."""
        if not isinstance(error, OSError) or error.errno not in _NO_DISK:
            return False
        if not self._gone:
            self._gone = True
            _log.warning("no temporary files (%s): answers to slow clients are held in memory only", error)
        return True

    def append(self, segment: Segment | None, batch: bytearray) -> Segment:
        """Write to the end of `segment`, or of a new one if None. Returns the segment written to. In a thread."""
        if segment is not None:
            segment.write(batch)
            return segment
        fresh = Segment(self.open_file())
        try:
            fresh.write(batch)
        except BaseException:
            fresh.close()
            raise
        return fresh

    def open_file(self) -> BinaryIO:
        """Open a new file without a name. In a thread."""
        file = tempfile.TemporaryFile(buffering=0, dir=self._folder)  # noqa: SIM115 - its owner retires it
        return cast("BinaryIO", file)

    async def aclose(self) -> None:
        """Wait for running I/O and end the threads. An inbox that is still open has no disk from then on.

        To be called before the loop ends: a thread cannot deliver its result to a loop that is gone.
        """
        self._gone = True
        while self._jobs:
            await asyncio.wait(self._jobs)
        self._closed = True
        if self._executor is None:
            self._executor = ThreadPoolExecutor(THREADS)
        self._executor.shutdown(wait=False)

    def __repr__(self) -> str:
        state = "" if self.usable else ", not usable"
        return f"<Disk {self.used_bytes} of {self.limit_bytes} bytes used{state}>"
