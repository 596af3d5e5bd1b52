"""Reads an answer that came whole in one piece, which most do: one final head, all of its body, and nothing else.

It accepts less than `Answer` and nothing that `Answer` refuses. For all else `read` returns None, having taken nothing,
and `Answer` decides. A line gets past only through a strict expression, so no bare CR or LF, control character, fold or
blank before a colon is in what it returns.

Lines that say nothing about a user are remembered, and heads that are made of them alone, so that the next answer of
the same service costs a look-up a line, or a single one. Of other fields only the names are. There is one reader per
target, so no service fills the memory of another, and it is bounded.
"""

import re

from tunnel.http1.answer import HEAD_LIMIT_BYTES
from tunnel.http1.fields import FIELD_LIMIT, OF_THIS_HOP, length_of, timeout_of
from tunnel.port import Headers

_END_OF_HEAD = b"\r\n\r\n"
_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([2-9][0-9]{2}) [\t\x20-\x7e\x80-\xff]*")
_FIELD_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([\t\x20-\x7e\x80-\xff]*)")
"""RFC 9112 sections 4 and 5, without what only `Answer` takes: no reason, HTTP/1.0, interim answers."""

_REMEMBERED = frozenset(
    {
        b"accept-ranges",
        b"cache-control",
        b"connection",
        b"content-encoding",
        b"content-language",
        b"content-length",
        b"content-type",
        b"date",
        b"keep-alive",
        b"pragma",
        b"server",
        b"strict-transport-security",
        b"vary",
        b"x-content-type-options",
        b"x-frame-options",
    }
)
"""Fields that hold no secret: what others may hold must not outlive its answer."""
_CONTROLS = bytes(byte for byte in range(0x20) if byte != 0x09) + b"\x7f"
"""What no value holds (RFC 9110 section 5.5)."""
_NAMES = 64
_NAME_BYTES = 64
"""Names of other fields, as they are spelt: 4 KiB per target. Their values are never remembered."""
_LINES = 64
_LINE_BYTES = 256
"""16 KiB per target. Dates and lengths change, so the memory fills up, and begins anew."""
_HEADS = 16
_HEAD_BYTES = 1024
"""Another 16 KiB, of whole heads: a date is the same for a second."""
_DROPPED_LINES = 4
"""Each costs a copy of the head: servers send two, `Connection` and `Keep-Alive`."""
_WITHOUT_BODY = frozenset({204, 304})

Whole = tuple[int, Headers, bytes, bytes, float | None]
"""The status, the fields with names in lower case, the same as lines, the body, the hint of Keep-Alive in seconds."""


class _Dropped:
    """A line of this hop, which is not passed on; `seconds` is the hint of a `Keep-Alive`."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds = seconds


class _Length:
    """A `Content-Length`."""

    __slots__ = ("field", "size")

    def __init__(self, field: tuple[bytes, bytes], size: int) -> None:
        self.field = field
        self.size = size


_Head = tuple[int, Headers, bytes, int, float | None]
"""The status, the fields, the same as lines, the size of the body, the hint of Keep-Alive in seconds."""
_Line = tuple[bytes, bytes] | _Length | _Dropped
"""A field to pass on as it is, or one with a meaning."""


class WholeReader:
    """Reads the whole answers of one target."""

    __slots__ = ("_heads", "_lines", "_names", "_statuses")

    def __init__(self) -> None:
        self._heads: dict[bytes, _Head] = {}
        """Whole heads of remembered lines."""
        self._lines: dict[bytes, _Line] = {}
        self._names: dict[bytes, bytes] = {}
        """Names of fields that only pass, as spelt -> in lower case."""
        self._statuses: dict[bytes, int] = {}

    def __repr__(self) -> str:
        return f"<WholeReader knows {len(self._lines)} lines>"

    def read(self, data: bytes) -> Whole | None:
        """The answer, if `data` is one that ends with it, the connection persists, and its request was not HEAD."""
        head, end, body = data.partition(_END_OF_HEAD)
        if not end:
            return None
        found = self._heads.get(head)
        if found is None:
            found = self._read_head(head)
            if found is None:
                return None
        status, headers, block, size, seconds = found
        if len(body) != size:
            return None
        return status, [*headers], block, body, seconds

    def _read_head(self, head: bytes) -> _Head | None:
        """What a head says; None: it is for `Answer`."""
        if len(head) > HEAD_LIMIT_BYTES - len(_END_OF_HEAD):
            return None
        lines = head.split(b"\r\n")
        if len(lines) - 1 > FIELD_LIMIT:
            return None
        first = lines[0]
        status = self._statuses.get(first) or self._learn_status(first)
        if not status:
            return None
        del lines[0]
        fields = self._fields(lines)
        if fields is None:
            return None
        headers, dropped, size, seconds, is_kept = fields
        if status in _WITHOUT_BODY:
            if size is not None:
                return None
            size = 0
        elif size is None:
            return None
        block = head[len(first) :] + b"\r\n"
        for line in dropped:
            block = block.replace(b"\r\n%b\r\n" % line, b"\r\n", 1)
        found = status, headers, block[2:], size, seconds
        if is_kept and len(head) <= _HEAD_BYTES and first in self._statuses:
            if len(self._heads) >= _HEADS:
                self._heads.clear()
            self._heads[head] = found
        return found

    def _fields(self, lines: list[bytes]) -> tuple[Headers, list[bytes], int | None, float | None, bool] | None:
        """The fields, the lines that are not passed on, Content-Length, Keep-Alive's hint, whether to keep the head."""
        headers: Headers = []
        dropped: list[bytes] = []
        unseen: list[bytes] = []
        size = None
        seconds = None
        is_kept = True
        known, names = self._lines, self._names
        for line in lines:
            field = known.get(line)
            if field is None:
                name, colon, value = line.partition(b":")
                lowered = names.get(name)
                if lowered is not None and colon:
                    is_kept = False
                    unseen.append(value)
                    headers.append((lowered, value.strip(b" \t")))
                    continue
                field = self._learn(line)
                is_kept = is_kept and line in known
            if type(field) is tuple:
                headers.append(field)
            elif type(field) is _Length and size is None:
                size = field.size
                headers.append(field.field)
            elif type(field) is _Dropped and len(dropped) < _DROPPED_LINES:
                dropped.append(line)
                if field.seconds is not None:
                    seconds = field.seconds
            else:
                return None
        if unseen:
            values = b"".join(unseen)
            if len(values.translate(None, _CONTROLS)) != len(values):
                return None
        return headers, dropped, size, seconds, is_kept

    def _learn_status(self, line: bytes) -> int | None:
        match = _STATUS_LINE.fullmatch(line)
        if match is None:
            return None
        status = int(match[1])
        if len(line) <= _LINE_BYTES:
            if len(self._statuses) >= _LINES:
                self._statuses.clear()
            self._statuses[line] = status
        return status

    def _learn(self, line: bytes) -> _Line | None:
        """What a line means, remembered where it may be; None: it is for `Answer`."""
        match = _FIELD_LINE.fullmatch(line)
        if match is None:
            return None
        name = match[1].lower()
        field = name, match[2].strip(b" \t")
        known: _Line = field
        if name == b"content-length":
            size = length_of(field[1])
            if size is None:
                return None
            known = _Length(field, size)
        elif name == b"connection":
            if field[1].lower() != b"keep-alive":
                return None
            known = _Dropped()
        elif name == b"keep-alive":
            seconds = timeout_of(field[1])
            if seconds is None:
                return None
            known = _Dropped(seconds)
        elif name in OF_THIS_HOP:
            return None
        self._remember(line, match[1], name, known)
        return known

    def _remember(self, line: bytes, spelt: bytes, name: bytes, known: _Line) -> None:
        if name in _REMEMBERED:
            if len(line) <= _LINE_BYTES:
                if len(self._lines) >= _LINES:
                    self._lines.clear()
                self._lines[line] = known
        elif len(name) <= _NAME_BYTES:
            if len(self._names) >= _NAMES:
                self._names.clear()
            self._names[spelt] = name
