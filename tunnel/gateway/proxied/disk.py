"""The process's temporary files: how many bytes they may hold together, and the threads that touch them.

One per process, shared by every `ProxyStream`. It never blocks the event loop: files are opened, written, read and
closed by its few threads. It never keeps a name in the file system: a file is unlinked before its first byte, with
mode 0600, and so gone with its descriptor, also after a crash.

Invariants: `used_bytes` never exceeds `limit_bytes`; bytes are reserved before they are written, and given back only
once the descriptor is closed. What runs in threads says so and changes no count; all else runs on the event loop.
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
"""Enough that one stalled write does not hold up every slow client; a disk is not faster for more."""

_NO_DISK = {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR}
"""What opening says where no file can ever be made; all else (full, out of descriptors) may pass."""


class Segment:
    """One temporary file, written at its end and read from its start, by one thread at a time."""

    __slots__ = ("file", "read_bytes", "written_bytes")

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.read_bytes = 0
        self.written_bytes = 0

    def write(self, data: bytes | bytearray) -> None:
        """Write all of `data` after the last byte. In a thread; `written_bytes` is for the caller to move."""
        self.file.seek(self.written_bytes)
        rest = memoryview(data)
        while rest:
            rest = rest[self.file.write(rest) :]

    def read(self, size: int) -> bytes:
        """Read exactly `size` bytes. In a thread; `read_bytes` is for the caller to move."""
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
        """Give up the bytes. In a thread: freeing the blocks of a large file takes milliseconds."""
        with suppress(OSError):  # the descriptor is gone in any case, and nobody needs the bytes
            self.file.close()


class Disk:
    """The bound of all temporary files, and their I/O. `folder` None: the system's place for temporary files.

    `usable` is False with a limit of 0, after `aclose`, and once a file could not be made because there is no place
    for it (a read-only file system): found at the first use, logged once.
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
        """Whether pieces may be sent here at all."""
        return self.limit_bytes > 0 and not self._gone and not self._closed

    def reserve(self, size: int) -> bool:
        """Take `size` bytes of the limit; False, and nothing taken, when they are not there."""
        if self.used_bytes + size > self.limit_bytes:
            return False
        self.used_bytes += size
        return True

    def release(self, size: int) -> None:
        """Give back reserved bytes that are in no file."""
        self.used_bytes -= size

    def run(self, job: Callable[[], _T]) -> asyncio.Future[_T]:
        """Run `job` in a thread. The answer is an OSError where there is none, as after `aclose`."""
        loop = asyncio.get_running_loop()
        try:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="spool")
            future = loop.run_in_executor(self._executor, job)
        except RuntimeError as error:  # it was shut down, or the process may have no more threads
            refused: asyncio.Future[_T] = loop.create_future()
            refused.set_exception(OSError(errno.EAGAIN, str(error)))
            return refused
        untyped = cast("asyncio.Future[object]", future)
        self._jobs.add(untyped)
        untyped.add_done_callback(self._jobs.discard)
        return future

    def retire(self, segment: Segment) -> None:
        """Close a segment that no thread uses any more, then give back its bytes."""
        if self._closed:
            segment.close()
            self.release(segment.written_bytes)
        else:
            self.run(segment.close).add_done_callback(partial(self._retired, segment))

    def _retired(self, segment: Segment, future: "asyncio.Future[None]") -> None:
        if future.exception() is not None:  # no thread could be had
            segment.close()
        self.release(segment.written_bytes)

    def refused(self, error: BaseException) -> bool:
        """Whether `error`, of `append`, says that there is no disk; remembered and logged once."""
        if not isinstance(error, OSError) or error.errno not in _NO_DISK:
            return False
        if not self._gone:
            self._gone = True
            _log.warning("no temporary files (%s): answers to slow clients are held in memory only", error)
        return True

    def append(self, segment: Segment | None, batch: bytearray) -> Segment:
        """Write to the end of `segment`, or to a new one; which of them it was. In a thread."""
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
        """A new file without a name. In a thread."""
        file = tempfile.TemporaryFile(buffering=0, dir=self._folder)  # noqa: SIM115 - its owner retires it
        return cast("BinaryIO", file)

    async def aclose(self) -> None:
        """Wait for all I/O under way and end the threads. Streams still open have no disk from here on.

        To be called before the loop ends: a thread cannot tell its outcome to a loop that is gone.
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
