"""Reads the head of a request: bytes in, a `Head` or a refusal out. Strict, and without I/O (RFC 9112 sections 2 to 6).

A head ends with the first CR LF CR LF, which `HeadBuffer` finds however the bytes were cut. `read_head` reads a head of
which all is there. What two readers could understand in two ways is refused, never mended: a bare CR or LF, a fold, a
blank before a colon, two Hosts or lengths, a coding beside a length. Sections named here are RFC 9112's.

Invariants: no more than `HEAD_BYTES` of a head are kept; each byte is looked at a bounded number of times, in whatever
pieces it comes; the target and the values are the bytes that came.
"""

import re
from typing import Final

import msgspec

from ..rules import problems
from ..rules.fields import Fields, facts_of
from ..rules.shape import shape_of
from .framing import PLAIN, Framing, framing_of
from .lines import REMEMBERED, HeadError, Memory, is_token, read_lines

HEAD_BYTES: Final = 128 * 1024
"""Of one head. Common servers take 8 to 64 KiB; sign-on with many cookies needs up to 60."""
LINE_BYTES: Final = 64 * 1024
"""Of the request line."""
FIELDS: Final = 256
USUAL_BYTES: Final = 16 * 1024
USUAL_FIELDS: Final = 64
"""A head above either is read when it is its turn, not at once: up to a millisecond, a usual one takes 10 us."""
METHOD_BYTES: Final = 256
EMPTY_LINES: Final = 4
"""Before a request line, from clients that end a body with one (section 2.2)."""

_BLOCKS: Final = 1_024
_BLOCK_BYTES: Final = 1_024
"""Blocks remembered, and the longest one: 1 MB in all, and a few times as much for what they say."""

END: Final = b"\r\n\r\n"
_CR: Final = 0x0D
_METHODS: Final = {name.encode("ascii"): name for name in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")}
_TARGET: Final = bytes(0x20 if byte <= 0x20 or byte >= 0x7F or byte == 0x23 else byte for byte in range(256))
"""Changes what must not be in a target: blanks, controls, bytes above ASCII, and `#` (RFC 3986 section 3)."""
_VERSION: Final = re.compile(rb"HTTP/([0-9])\.([0-9])")
_START: Final = re.compile(rb"(?:\r\n){0,4}(?:\r?|[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}(?:\Z| .*))\Z", re.DOTALL)
"""What the bytes of an unfinished head may begin with."""
_EMPTY_LINES: Final = re.compile(rb"(?:\r\n){0,4}")
_SCHEMES: Final = {b"http": b"80", b"https": b"443"}


class UnusualHeadError(Exception):
    """The head is expensive to read, and was not read: do it when there is time for it."""


class HeadFields(Fields, frozen=True, eq=False, gc=False):
    """The field lines of a head, and what they say of its framing too."""

    framing: Framing


class Head(msgspec.Struct, frozen=True, eq=False, gc=False):
    """The head of one request."""

    method: str
    target: bytes
    """In origin form, as it came (section 3.2.1); `*` for OPTIONS (section 3.2.4)."""
    path: bytes
    query: bytes
    fields: HeadFields
    is_old: bool
    """HTTP/1.0."""

    def __repr__(self) -> str:
        return f"<Head {self.method} {self.target!r}, {len(self.fields.lines)} fields>"


_blocks: Memory[HeadFields] = Memory(_BLOCKS)
_block = _blocks.found.get


def read_head(data: bytes, in_turn: bool = True) -> Head:
    """The head in `data`, which ends with the CR LF of its last line. Raises HeadError.

    Raises UnusualHeadError for more than `USUAL_FIELDS`, unless it is the connection's turn to do a step of work.
    """
    line, _, block = data.partition(b"\r\n")
    if len(line) > LINE_BYTES:
        raise HeadError(f"more than {LINE_BYTES} bytes", problems.TARGET_TOO_LONG)
    fields = (_block(block) if len(block) <= _BLOCK_BYTES else None) or _read_fields(block, in_turn)
    try:
        spelt, target, version = line.split(b" ")
    except ValueError:
        raise HeadError("the request line is not a method, a target and a version") from None
    method = _METHODS.get(spelt) or _read_method(spelt)
    is_old = version != b"HTTP/1.1" and _is_old(version)
    if target.translate(_TARGET) is not target:
        raise HeadError("the target has a character that must be percent-encoded")
    framing = fields.framing
    if framing is not PLAIN:
        framing.check(is_old=is_old)
    hosts = fields.hosts
    if hosts != 1 and (hosts or not is_old):
        raise HeadError("more than one Host header" if hosts else "a request of HTTP/1.1 needs a Host")
    if target[:1] != b"/":
        if not hosts:
            fields = _with_host(fields, block, target)
        target = _read_target(method, target, fields.host)
    path, _, query = target.partition(b"?")
    return Head(method, target, path, query, fields, is_old)


def _read_fields(block: bytes, in_turn: bool) -> HeadFields:
    lines = block.split(b"\r\n")
    del lines[-1]  # the block ends with CR LF
    if len(lines) > USUAL_FIELDS:
        if not in_turn:
            raise UnusualHeadError
        if len(lines) > FIELDS:
            raise HeadError(f"more than {FIELDS} fields", problems.HEAD_TOO_LARGE)
    read = read_lines(lines)
    names = tuple([name for name, _ in read])
    values = tuple([value for _, value in read])
    shape = shape_of(names)
    framing = framing_of(shape, read)
    fields = HeadFields(read, *facts_of(shape, values, is_checked=True), framing)
    if len(block) <= _BLOCK_BYTES and REMEMBERED.issuperset(names):
        _blocks.keep(block, fields)
    return fields


def _read_method(spelt: bytes) -> str:
    if not is_token(spelt):
        raise HeadError("the method is not a token")
    if len(spelt) > METHOD_BYTES:
        raise HeadError(f"a method of more than {METHOD_BYTES} characters", problems.NOT_IMPLEMENTED)
    if spelt == b"CONNECT":
        raise HeadError("this is not a forward proxy")
    return spelt.decode("ascii")


def _is_old(version: bytes) -> bool:
    """Whether this is HTTP/1.0. Raises HeadError for what is neither 1.0 nor 1.1 or a later minor version of it."""
    found = _VERSION.fullmatch(version)
    if found is None:
        raise HeadError("the request line does not end with a version")
    if found[1] != b"1":
        raise HeadError(version.decode("ascii"), problems.VERSION_NOT_SUPPORTED)
    return found[2] == b"0"  # a higher minor version is read as the one we know (RFC 9110 section 2.5)


def _read_target(method: str, target: bytes, host: bytes) -> bytes:
    """A target that is not in origin form, in origin form; `*` stays. Raises HeadError."""
    if target == b"*":
        if method != "OPTIONS":
            raise HeadError("the target * is for OPTIONS")
        return target
    scheme, separator, rest = target.partition(b"://")
    port = _SCHEMES.get(scheme.lower())
    if not separator or port is None:
        raise HeadError("the target is neither a path nor an http address")
    end = min((rest.index(mark) for mark in (b"/", b"?") if mark in rest), default=len(rest))
    if _name_and_port(rest[:end], port) != _name_and_port(host, port):
        raise HeadError("the target's authority does not match Host")
    path = rest[end:]
    return path if path.startswith(b"/") else b"/" + path


def _with_host(fields: HeadFields, block: bytes, target: bytes) -> HeadFields:
    """The fields of a request of HTTP/1.0 without a Host: an absolute target says it (section 3.2.2)."""
    _, separator, rest = target.partition(b"://")
    authority = re.split(rb"[/?]", rest, maxsplit=1)[0]
    return _read_fields(b"%bHost: %b\r\n" % (block, authority), in_turn=True) if separator else fields


def _name_and_port(authority: bytes, default: bytes) -> tuple[bytes, bytes]:
    name, colon, port = authority.rpartition(b":")
    if not colon or b"]" in port:
        name, port = authority, b""
    return name.lower().rstrip(b"."), port or default


def asked_for(data: bytes) -> tuple[str, bytes] | None:
    """The method and the path of a head that is refused. None: they are not all there, or not understood."""
    line, end, _ = skip_empty_lines(data).partition(b"\r\n")
    words = line.split(b" ")
    if not end or len(words) != 3:
        return None
    method, target, _ = words
    if not is_token(method) or len(method) > METHOD_BYTES or target.translate(_TARGET) is not target:
        return None
    scheme, separator, rest = target.partition(b"://")
    if separator and scheme.lower() in _SCHEMES:
        _, slash, path = rest.partition(b"?")[0].partition(b"/")
        target = slash + path or b"/"
    return method.decode("ascii"), target.partition(b"?")[0]


class HeadBuffer:
    """The bytes of a head that is not complete, from whatever pieces they came in."""

    __slots__ = ("_checked", "_data", "_has_line")

    def __init__(self) -> None:
        self._data = bytearray()
        self._checked = 0
        self._has_line = False

    @property
    def size_bytes(self) -> int:
        """What is kept."""
        return len(self._data)

    @property
    def beginning(self) -> bytes:
        """What is kept, as far as a request line may reach."""
        return bytes(self._data[: LINE_BYTES + 2 * EMPTY_LINES + 2])

    def add(self, data: bytes) -> bytes | None:
        """More bytes. Returns all there are once the head is complete: what follows it may be among them.

        Raises HeadError as soon as the bytes cannot become a head any more.
        """
        held = self._data
        held += data
        begin = max(0, self._checked - 3)
        if begin == 0 or held[:2] == b"\r\n":
            skipped = _EMPTY_LINES.match(held)
            begin = max(begin, skipped.end() if skipped is not None else 0)
        end = held.find(END, begin)
        size = len(held) if end < 0 else end + len(END)
        if size > HEAD_BYTES:
            raise HeadError(f"more than {HEAD_BYTES} bytes", problems.HEAD_TOO_LARGE)
        if end >= 0:
            return bytes(held)
        self._look_at_new(held)
        return None

    def _look_at_new(self, held: bytearray) -> None:
        if not self._has_line:
            self._has_line = held.find(b"\r\n", max(2 * EMPTY_LINES, self._checked - 1)) >= 0
            if not self._has_line and len(held) > LINE_BYTES:
                raise HeadError(f"more than {LINE_BYTES} bytes", problems.TARGET_TOO_LONG)
            if self._checked <= METHOD_BYTES + 2 * EMPTY_LINES and _START.match(held) is None:
                _read_method(skip_empty_lines(bytes(held[: 2 * METHOD_BYTES])).split(b" ")[0])  # it may be too long
                raise HeadError("this does not begin like an HTTP request")
        if _has_bare(held, self._checked):
            raise HeadError("a CR or LF alone, or a NUL")
        self._checked = len(held)


def _has_bare(held: bytearray, at: int) -> bool:
    """Whether there is a NUL, or a CR or LF alone, from this place on. A CR may be the last byte: its LF may come.

    Counted, as no expression is as fast: 0.3 ms for 128 KiB.
    """
    if at and held[at - 1] == _CR:
        at -= 1
    pairs = held.count(b"\r\n", at)
    returns = held.count(b"\r", at) - held.endswith(b"\r")
    return not pairs == held.count(b"\n", at) == returns or held.find(b"\0", at) >= 0


def skip_empty_lines(data: bytes) -> bytes:
    """The data without the empty lines before a request (section 2.2)."""
    found = _EMPTY_LINES.match(data)
    return data[found.end() :] if found is not None else data
