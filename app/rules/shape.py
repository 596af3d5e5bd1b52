"""What the names of a request's fields say, without their values: worked out once for all requests alike.

A client sends the same names in the same order each time. Names are no secrets, so they may be remembered; values never
are. The number of shapes kept is bounded, and so is their size; a shape that does not fit is made anew each time.
"""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Final

from .trace import TRACEPARENT

Names = tuple[bytes, ...]
"""In lower case."""

HOP_BY_HOP: Final = frozenset(
    (
        b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade",
        b"proxy-authenticate", b"proxy-authorization", b"http2-settings",
    )
)  # fmt: skip
"""RFC 9110 section 7.6.1."""
FRAMING: Final = frozenset((b"content-length", b"expect", b"te", b"transfer-encoding", b"upgrade"))
"""With Connection, what the reader of a request has to look at itself."""
FORWARDED: Final = frozenset(
    (b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port", b"x-real-ip")
)
"""The fields that say who the client is, in either vocabulary: the service gets ours."""
REQUEST_ID: Final = b"x-request-id"
DROPPED: Final = HOP_BY_HOP | FORWARDED | {REQUEST_ID}
"""Never passed on as they came."""

_TOKEN = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""RFC 9110 section 5.6.2."""

_CLAIMS: Final = frozenset(
    (
        b"cf-connecting-ip", b"forwarded", b"forwarded-for", b"proxy", b"true-client-ip", b"x-client-ip",
        b"x-envoy-external-address", b"x-host", b"x-original-url", b"x-real-ip", b"x-rewrite-url",
    )
)  # fmt: skip
"""They claim an address, a host or a path, to one service or another."""

_KEPT = 512
_KEPT_NAMES = 64
_KEPT_BYTES = 1024
"""Of the names of one shape, which takes a few times as much: 4 MB in all at the very most."""


def is_claim(name: bytes) -> bool:
    """Whether this field says where a request comes from. `_` counts as `-`, as in CGI (RFC 3875 section 4.1.18)."""
    if name[:1] not in (b"x", b"p", b"f", b"t", b"c"):
        return False
    plain = name.replace(b"_", b"-")
    return plain.startswith(b"x-forwarded-") or plain in _CLAIMS


def is_lookalike(name: bytes) -> bool:
    """Whether a service may take this field for one of `FORWARDED`. No proxy writes it."""
    return b"_" in name and name.replace(b"_", b"-") in FORWARDED


class Shape:
    """The names of one request's fields."""

    __slots__ = (
        "connections", "content_lengths", "host_at", "hosts", "is_framed", "is_plain", "passed", "pick", "trace_at",
        "upgrades",
    )  # fmt: skip

    def __init__(self, names: Names) -> None:
        self.hosts = names.count(b"host")
        self.host_at = names.index(b"host") if self.hosts else None
        """Where the first Host is."""
        self.connections = _places(names, b"connection")
        self.upgrades = _places(names, b"upgrade")
        self.content_lengths = _places(names, b"content-length")
        self.trace_at = names.index(TRACEPARENT) if names.count(TRACEPARENT) == 1 else None
        """Where the one `traceparent` is."""
        self.is_framed = not FRAMING.isdisjoint(names)
        """A field, other than Connection, says how the request or its answer is framed."""
        passed = [at for at, name in enumerate(names) if name not in DROPPED and not is_claim(name)]
        self.is_plain = not (
            b"transfer-encoding" in names or self.hosts > 1 or len(self.content_lengths) > 1
            or any(not name or name.translate(None, _TOKEN) for name in names)
        )  # fmt: skip
        """Each name is a token, and Host and Content-Length come at most once, without Transfer-Encoding."""
        self.passed = b"".join([b"\r\n%b: %%b" % names[at].replace(b"%", b"%%") for at in passed])
        """A format for what is passed on of a client that is not trusted, where Connection names no field."""
        self.pick: Callable[[Sequence[bytes]], tuple[bytes, ...]] = _picker(passed)
        """The values for it."""


def _places(names: Names, name: bytes) -> tuple[int, ...]:
    return tuple(at for at, other in enumerate(names) if other == name)


def _picker(places: list[int]) -> Callable[[Sequence[bytes]], tuple[bytes, ...]]:
    if not places:
        return lambda _: ()
    if len(places) == 1:
        (at,) = places
        return lambda values: (values[at],)
    return itemgetter(*places)


_shapes: dict[Names, Shape] = {}


def shape_of(names: Names) -> Shape:
    """The shape of these names, which are in lower case."""
    shape = _shapes.get(names)
    if shape is None:
        shape = Shape(names)
        if len(names) <= _KEPT_NAMES and sum(map(len, names)) <= _KEPT_BYTES:
            if len(_shapes) >= _KEPT:
                _shapes.clear()
            _shapes[names] = shape
    return shape
