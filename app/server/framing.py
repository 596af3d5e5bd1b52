"""What the fields of a request say of its framing: the body's length, and what becomes of the connection after it.

RFC 9112 section 6 for the body, section 9 for the connection, RFC 9110 section 7.8 for an upgrade and 10.1.1 for an
expectation. What is ambiguous is refused. Knows fields; knows no bytes of a body and no state of a connection.
"""

from tunnel.port import Headers

from ..rules import problems
from ..rules.shape import Shape
from .lines import HeadError

_LENGTH_DIGITS = 18
"""Nothing longer is a length: a petabyte has 16."""


LIST_BYTES = 4 * 1024
"""Of all fields of a head that are lists and that we read: 2,000 members. Real ones have a few dozen bytes."""


class Framing:
    """See the module."""

    __slots__ = ("chunked", "closes", "expects", "keeps_alive", "length", "takes_trailers", "upgrades")

    def __init__(
        self, *, length: int = 0, chunked: bool = False, closes: bool = False, keeps_alive: bool = False,
        expects: bool = False, upgrades: bool = False, takes_trailers: bool = False,
    ) -> None:  # fmt: skip
        self.length = length
        """Bytes of the body; 0 where it is `chunked`."""
        self.chunked = chunked
        self.closes = closes
        """The client sends nothing after this request (section 9.6)."""
        self.keeps_alive = keeps_alive
        """A client of HTTP/1.0 asks to keep the connection (section 9.3)."""
        self.expects = expects
        """The client may wait for a 100 before it sends the body."""
        self.upgrades = upgrades
        """It is the handshake of a WebSocket (RFC 6455 section 4.2.1). Other offers are not taken."""
        self.takes_trailers = takes_trailers
        """The client takes trailers of the answer (RFC 9110 section 6.5.1)."""

    def check(self, *, is_old: bool) -> None:
        """Refuse what HTTP/1.0 does not have. Raises HeadError."""
        if is_old and self.chunked:  # section 6.1
            raise HeadError("Transfer-Encoding in a request of HTTP/1.0")
        if is_old and self.upgrades:  # RFC 6455 section 4.1
            raise HeadError("a WebSocket handshake of HTTP/1.0")

    def __repr__(self) -> str:
        flags = ", ".join(name for name in self.__slots__ if name != "length" and getattr(self, name))
        return f"<Framing {self.length} bytes{', ' if flags else ''}{flags}>"


PLAIN = Framing()
"""Of a request without a body, whose connection stays."""
_USUAL = {
    b"keep-alive": Framing(keeps_alive=True),
    b"Keep-Alive": Framing(keeps_alive=True),
    b"close": Framing(closes=True),
}
"""By the value of Connection, where nothing else says anything."""


def framing_of(shape: Shape, fields: Headers) -> Framing:
    """The framing of a head with these fields, which have this shape. Raises HeadError."""
    if not shape.is_framed:
        if not shape.connections:
            return PLAIN
        usual = _USUAL.get(fields[shape.connections[0]][1])
        if usual is not None and len(shape.connections) == 1:
            return usual
    listed = b",".join([fields[at][1] for at in shape.connections])
    list_bytes = check_list(0, listed)
    connection = options(listed) if listed else frozenset()
    codings: list[bytes] = []
    lengths: list[bytes] = []
    expects = takes_trailers = False
    upgrade: frozenset[bytes] = frozenset()
    for name, value in fields:
        if name == b"content-length":
            lengths.append(value)
        elif name == b"transfer-encoding":
            list_bytes = check_list(list_bytes, value)
            codings.append(value)
        elif name == b"expect":
            expects = _read_expectation(value)
        elif name == b"te":
            list_bytes = check_list(list_bytes, value)
            takes_trailers = takes_trailers or b"trailers" in options(value)
        elif name == b"upgrade":
            list_bytes = check_list(list_bytes, value)
            upgrade |= options(value)
    chunked = bool(codings) and _read_codings(codings)
    if chunked and lengths:  # section 6.3, rule 3
        raise HeadError("both Content-Length and Transfer-Encoding")
    framing = Framing(
        length=_read_length(lengths) if lengths else 0,
        chunked=chunked,
        closes=b"close" in connection,
        keeps_alive=b"keep-alive" in connection,
        expects=expects,
        upgrades=b"websocket" in upgrade and b"upgrade" in connection,
        takes_trailers=takes_trailers,
    )
    if framing.upgrades:
        check_list(list_bytes, b",".join([value for name, value in fields if name == b"sec-websocket-protocol"]))
    return framing if _says_something(framing) else PLAIN


def check_list(before_bytes: int, value: bytes) -> int:
    """Refuse lists that would take long to read. Returns the bytes of all so far. Raises HeadError."""
    size_bytes = before_bytes + len(value)
    if size_bytes > LIST_BYTES:
        raise HeadError(f"lists of more than {LIST_BYTES} bytes", problems.HEAD_TOO_LARGE)
    return size_bytes


def options(value: bytes) -> frozenset[bytes]:
    """The members of a comma-separated value, in lower case (RFC 9110 section 5.6.1)."""
    return frozenset([member.strip(b" \t") for member in value.lower().split(b",")])


def _says_something(framing: Framing) -> bool:
    return bool(
        framing.length or framing.chunked or framing.closes or framing.keeps_alive or framing.expects
        or framing.upgrades or framing.takes_trailers
    )  # fmt: skip


def _read_length(lengths: list[bytes]) -> int:
    (value, *others) = lengths
    if others or not value.isdigit() or len(value) > _LENGTH_DIGITS:  # section 6.3, rule 5
        raise HeadError("Content-Length is not one number")
    return int(value)


def _read_codings(codings: list[bytes]) -> bool:
    members = [member.strip(b" \t").lower() for member in b",".join(codings).split(b",")]
    if members == [b"chunked"]:
        return True
    if members[-1] == b"chunked" and members.count(b"chunked") == 1 and all(members):  # section 6.1
        raise HeadError("a transfer coding that is not chunked", problems.NOT_IMPLEMENTED)
    raise HeadError("the last transfer coding is not chunked, and once")  # section 6.3, rule 4


def _read_expectation(value: bytes) -> bool:
    """RFC 9110 section 10.1.1: another expectation may be answered with 417; it is passed on, as servers do today."""
    return value.lower() == b"100-continue"
