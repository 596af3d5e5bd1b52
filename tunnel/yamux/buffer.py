"""The bytes of one stream that wait for credit and for their turn.

Chunks are kept as they came and cut with memory views: nothing is copied until the batch is joined, and the rest of
a big chunk is never copied. It is a list with an index, because an empty deque takes 760 bytes. Its user bounds it
(`Limits.send_buffer_bytes`). Most streams are idle: they share `EMPTY`.
"""

from typing import Final

_COMPACT_AFTER = 64
"""This many taken chunks may stay in the list, empty, so that removal costs almost nothing per chunk."""


class SendBuffer:
    """First in, first out; `size` is the number of waiting bytes."""

    __slots__ = ("_chunks", "_first", "_offset", "size")

    def __init__(self) -> None:
        self._chunks: list[bytes] | None = None
        self._first = 0
        self._offset = 0
        self.size = 0

    def append(self, data: bytes) -> None:
        """Queue `data`, which must not be empty."""
        if self._chunks is None:
            self._chunks = [data]
        else:
            self._chunks.append(data)
        self.size += len(data)

    def take(self, size: int, parts: list[bytes | memoryview]) -> None:
        """Move the first `size` bytes, at most all, to the end of `parts`."""
        chunks = self._chunks
        if chunks is None:
            return
        if size == self.size and not self._first and not self._offset:  # all of it, as it came
            parts += chunks
            self.clear()
            return
        self.size -= size
        while size:
            chunk = chunks[self._first]
            offset = self._offset
            there = len(chunk) - offset
            if there > size:
                parts.append(memoryview(chunk)[offset : offset + size])
                self._offset = offset + size
                return
            parts.append(memoryview(chunk)[offset:] if offset else chunk)
            size -= there
            self._offset = 0
            chunks[self._first] = b""
            self._first += 1
        if self._first == len(chunks):
            self.clear()
        elif self._first >= _COMPACT_AFTER and self._first * 2 >= len(chunks):
            del chunks[: self._first]
            self._first = 0

    def clear(self) -> None:
        """Drop everything."""
        self._chunks = None
        self._first = self._offset = self.size = 0

    def __repr__(self) -> str:
        return f"<SendBuffer {self.size} bytes>"


EMPTY: Final = SendBuffer()
"""Of a stream of which nothing waits. Nothing is ever appended to it."""
