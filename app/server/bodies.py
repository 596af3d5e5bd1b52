"""Reads the body of a request: bytes in, the payload out. Strict, and without I/O (RFC 9112 sections 6 and 7).

A reader is fed what came; it returns the payload that was in it, and keeps in `rest` what it has not read: the start of
a line, or, once `complete`, the bytes of the next request. The caller puts `rest` before what comes next. A piece with
many small chunks is read in several calls, so that none takes longer than 0.1 ms: `more` says that another
call would get on without more bytes.

Invariants: `rest` of an incomplete body is no longer than `LINE_BYTES`, unless `more`; a trailer section has the bounds
of a head; trailers are checked and dropped (RFC 9110 section 6.5.1 allows it).
"""

import re
from typing import Final, Protocol

from ..rules import problems
from .heads import FIELDS, HEAD_BYTES
from .lines import HeadError, read_line

CHUNKS_PER_CALL: Final = 64
"""Half a us each, or 1.5 with an extension or of some size."""
SIZE_LINE_BYTES: Final = 16 + 256
"""A chunk's size and its extensions. Signatures in them, which some uploads have, take 85."""
_SHORT_LINE_BYTES: Final = 16
"""So much more of a line costs as much as another chunk."""
LINE_BYTES: Final = 16 * 1024
"""One line of the trailers."""

EXTENSION_BYTES: Final = 16 * 1024
"""Of all extensions of a body, beyond an eighth of its payload: signatures come with chunks of some KiB."""

FRAMING_BYTES: Final = 512 * 1024
"""Of all that is not payload, beyond a quarter of the payload: 100,000 chunks of a byte, or any number of those of 24
bytes. What was sent but not read when a client leaves has to be read all the same. See `forgive`."""

_PLAIN_SIZES: Final = {
    spelt: size for size in range(1, 256) for spelt in (b"%x" % size, b"%X" % size, b"%02x" % size, b"%02X" % size)
}
"""Lines of small chunks without extensions: looking one up costs a quarter of reading it."""
_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED: Final = rb'"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"'
_EXTENSION: Final = rb"[ \t]*;[ \t]*%b(?:[ \t]*=[ \t]*(?:%b|%b))?" % (_TOKEN, _TOKEN, _QUOTED)
_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})((?:%b)*)" % _EXTENSION)
_DATA, _DATA_END, _SIZE_LINE, _TRAILERS, _OVER = range(5)


class BodyReader(Protocol):
    """See the module."""

    rest: bytes
    complete: bool
    more: bool

    @property
    def in_trailers(self) -> bool:
        """The payload is complete, and the trailers are not."""

    def feed(self, data: bytes, /) -> bytes:
        """The payload in `data`. Raises HeadError; the reader is not to be used after that."""

    def forgive(self) -> None:
        """A minute has passed: count anew what is bounded per minute."""


class LengthReader:
    """A body of a known length."""

    __slots__ = ("complete", "left", "rest")

    more = False
    in_trailers = False

    def __init__(self, length: int) -> None:
        self.left = length
        """Bytes that have not come."""
        self.complete = not length
        self.rest = b""

    def feed(self, data: bytes, /) -> bytes:
        """See `BodyReader`."""
        left = self.left - len(data)
        if left <= 0:
            self.complete = True
            if left:
                self.rest = data[left:]
                data = data[:left]
            left = 0
        self.left = left
        return data

    def forgive(self) -> None:
        """See `BodyReader`."""

    def __repr__(self) -> str:
        return f"<LengthReader {self.left} bytes left>"


class ChunkedReader:
    """A body in chunks (section 7.1)."""

    __slots__ = (
        "_extension_bytes", "_fields", "_framing_bytes", "_left", "_payload_bytes", "_phase", "_trailer_bytes",
        "complete", "more", "rest",
    )  # fmt: skip

    def __init__(self) -> None:
        self._phase = _SIZE_LINE
        self._left = 0
        self._payload_bytes = 0
        self._extension_bytes = 0
        self._framing_bytes = 0  # less a quarter of the payload
        self._fields = 0
        self._trailer_bytes = 0
        self.rest = b""
        self.complete = False
        self.more = False

    @property
    def in_trailers(self) -> bool:
        """See `BodyReader`."""
        return self._phase == _TRAILERS

    def feed(self, data: bytes, /) -> bytes:
        """See `BodyReader`."""
        pieces: list[bytes] = []
        at, size = 0, len(data)
        budget = CHUNKS_PER_CALL
        while budget > 0 and self._phase != _OVER:
            if self._phase == _DATA:
                piece = data[at : at + self._left]
                if not piece:
                    break
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if self._left:
                    break
                self._phase = _DATA_END
            if self._phase == _DATA_END:
                if data[at : at + 2] != b"\r\n":
                    if size - at >= 2 or data[at : at + 1] not in (b"", b"\r"):
                        raise HeadError("a chunk is longer than its size")
                    break
                at += 2
                self._phase = _SIZE_LINE
            end = data.find(b"\r\n", at)
            if end < 0:
                self._check_unfinished(data, at)
                break
            budget -= 1
            left = _PLAIN_SIZES.get(data[at:end]) if self._phase == _SIZE_LINE else None
            if left is not None:
                stop = end + 2 + left
                if data[stop : stop + 2] == b"\r\n":  # a whole small chunk
                    pieces.append(data[end + 2 : stop])
                    self._payload_bytes += left
                    at = stop + 2
                    continue
            budget -= (end - at) // _SHORT_LINE_BYTES
            self._read_line(data[at:end])
            at = end + 2
        self.complete = self._phase == _OVER
        self.more = budget <= 0 and not self.complete and at < size
        self.rest = data[at:]
        payload = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._framing_bytes = max(0, self._framing_bytes + at - len(payload) - len(payload) // 4)
        if self._framing_bytes > FRAMING_BYTES:
            raise HeadError("the chunks are too small", problems.BODY_FRAMING)
        return payload

    def forgive(self) -> None:
        """See `BodyReader`."""
        self._framing_bytes = 0

    def _read_line(self, line: bytes) -> None:
        if self._phase == _SIZE_LINE:
            found = _SIZE.fullmatch(line)
            if found is None or len(line) > SIZE_LINE_BYTES:
                raise HeadError("a chunk does not begin with its size")
            self._left = int(found[1], 16)
            self._payload_bytes += self._left
            self._extension_bytes += len(found[2])
            if self._extension_bytes > EXTENSION_BYTES + self._payload_bytes // 8:
                raise HeadError("more extensions of chunks than payload", problems.BODY_FRAMING)
            self._phase = _DATA if self._left else _TRAILERS
            return
        self._trailer_bytes += len(line) + 2
        if not line:
            self._phase = _OVER
            return
        if self._trailer_bytes > HEAD_BYTES or len(line) > LINE_BYTES or self._fields >= FIELDS:
            raise HeadError("the trailers are too large", problems.HEAD_TOO_LARGE)
        self._fields += 1
        read_line(line)

    def _check_unfinished(self, data: bytes, at: int) -> None:
        in_trailers = self._phase == _TRAILERS
        if len(data) - at > (LINE_BYTES if in_trailers else SIZE_LINE_BYTES):
            if in_trailers:
                raise HeadError("the trailers are too large", problems.HEAD_TOO_LARGE)
            raise HeadError("a chunk does not begin with its size")
        if data.find(b"\n", at) >= 0:
            raise HeadError("a CR or LF alone")

    def __repr__(self) -> str:
        return f"<ChunkedReader {self._left} bytes of a chunk left>"
