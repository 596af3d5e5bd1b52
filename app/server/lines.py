"""The field lines of requests: read strictly, and remembered where they repeat and hold no secret.

A client sends most of its lines again with each request, and so do all browsers of a kind. Lines of the names in
`REMEMBERED`, and blocks that have no others, are kept for the whole process; looking one up costs a quarter of reading
it. No other line is kept: a Cookie must not outlive its request, and the time of a look-up must tell nobody what others
send. A line gets in only through `read_line`, so nothing in here breaks RFC 9112 section 5.

What is kept is bounded. A table that is full takes nothing for as many misses as it has entries, and is then emptied:
a client that sends ever new lines costs others at most every second look-up.
"""

from typing import Final, Generic, TypeVar

from ..rules import problems
from ..rules.problems import Problem

Kept = TypeVar("Kept")

REMEMBERED: Final = frozenset(
    (
        b"accept", b"accept-charset", b"accept-encoding", b"accept-language", b"cache-control", b"connection",
        b"content-type", b"dnt", b"host", b"pragma", b"priority", b"sec-ch-ua", b"sec-ch-ua-mobile",
        b"sec-ch-ua-platform", b"sec-fetch-dest", b"sec-fetch-mode", b"sec-fetch-site", b"sec-fetch-user",
        b"te", b"upgrade-insecure-requests", b"user-agent",
    )
)  # fmt: skip
"""Names whose values are no secrets: every client of a kind sends the same."""

LINE_BYTES = 256
"""A longer line is not remembered. User-Agent and Accept of browsers have up to 200 bytes."""
LINES = 4_096
"""1 MB of lines, and as much again for what is kept of each."""
NAMES = 1_024
NAME_BYTES = 64

_TOKEN: Final = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""RFC 9110 section 5.6.2."""
_VALUE: Final = bytes(0x20 if (byte < 0x20 and byte != 0x09) or byte == 0x7F else byte for byte in range(256))
"""Changes what must not be in a value: control characters except tab (RFC 9110 section 5.5). A `translate` that changes
nothing returns the very same object, without a copy."""

Field = tuple[bytes, bytes]
"""A name in lower case, and a value without blanks around it."""


class HeadError(Exception):
    """A head or a trailer that is answered with `problem`. The text may be shown to the client."""

    def __init__(self, text: str, problem: Problem = problems.BAD_REQUEST) -> None:
        super().__init__(text)
        self.problem = problem
        self.method = "-"
        """Of the request line, if it was understood, for the access log."""
        self.path = b""


class Memory(Generic[Kept]):
    """A bounded table: `found` is to be looked up in, and put into only by `keep`."""

    __slots__ = ("_misses", "_size", "found")

    def __init__(self, size: int) -> None:
        self._size = size
        self._misses = 0
        self.found: dict[bytes, Kept] = {}

    def keep(self, key: bytes, value: Kept) -> None:
        """Remember it, if there is room."""
        if len(self.found) < self._size:
            self.found[key] = value
            return
        self._misses += 1
        if self._misses >= self._size:
            self._misses = 0
            self.found.clear()

    def __repr__(self) -> str:
        return f"<Memory {len(self.found)} of {self._size}>"


_lines: Memory[Field] = Memory(LINES)
_names: Memory[bytes] = Memory(NAMES)
_line = _lines.found.get
_name = _names.found.get
"""By names of the module: called for every line."""


def is_token(text: bytes) -> bool:
    """Whether this is a token: a method or a field's name (RFC 9110 section 5.6.2)."""
    return bool(text) and not text.translate(None, _TOKEN)


def read_lines(lines: list[bytes]) -> list[Field]:
    """The fields of these lines, which are without their CR LF. Raises HeadError."""
    return [(_line(line) if len(line) <= LINE_BYTES else None) or read_line(line) for line in lines]


def read_line(line: bytes) -> Field:
    """One field line (RFC 9112 section 5.1). Raises HeadError: also for a fold, a bare CR or LF, or an empty line."""
    spelt, colon, value = line.partition(b":")
    name = _name(spelt)
    if name is None:
        name = _read_name(spelt)
    if not colon:
        raise HeadError("a line of the head has no colon")
    value = value.strip(b" \t")
    if value.translate(_VALUE) is not value:
        raise HeadError("a field's value has a control character in it")
    if name in REMEMBERED and len(line) <= LINE_BYTES:
        _lines.keep(line, (name, value))
    return name, value


def _read_name(spelt: bytes) -> bytes:
    if not is_token(spelt):
        if spelt[:1] in (b" ", b"\t"):
            raise HeadError("a line of the head is folded")
        raise HeadError("a field's name is not a token")
    name = spelt.lower()
    if len(spelt) <= NAME_BYTES:
        _names.keep(spelt, name)
    return name
