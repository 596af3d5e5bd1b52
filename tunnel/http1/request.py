"""Encodes the head of a request, and refuses one that another parser could read differently.

It never repairs: a head that is not clearly one request is refused whole, with nothing written. It adds only framing
fields that are missing: `Transfer-Encoding: chunked` for a body of unknown length, `Content-Length` for one of known
length. So the framing on the wire always agrees with `body_length`.
"""

from functools import lru_cache

from tunnel.port import RequestHead

_TOKEN = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""RFC 9110 section 5.6.2: methods and field names."""
_VALUES = bytes(byte if (byte >= 0x20 and byte != 0x7F) or byte == 0x09 else 0x20 for byte in range(256))
"""Changes what must not be in values: control characters except tab (RFC 9110 section 5.5)."""
_TARGETS = bytes(byte if byte > 0x20 and byte != 0x7F else 0x21 for byte in range(256))

_REMEMBERED = 256
_REMEMBERED_BYTES = 1024
"""Names of whole heads, without their values: a client sends the same ones each time."""

REPEATABLE = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})
"""Idempotent methods (RFC 9110 section 9.2.2)."""
_USUAL = REPEATABLE | {b"POST", b"PATCH"}


class UnsendableHeadError(ValueError):
    """A request head that must not be sent. The text names the rule, never the content."""


class BodyLengthError(ValueError):
    """More or less body than the head announced. The exchange was reset, and its sink is not called."""


def is_repeatable(method: bytes) -> bool:
    """Whether a request with this method may reach the service twice."""
    return method in REPEATABLE


def target_fault(target: bytes) -> str:
    """Why this target must not be sent; empty where nothing is wrong with it."""
    if not target or target.translate(_TARGETS) != target:
        return "the target is empty or has blanks or control characters"
    if target[0] != 0x2F and target != b"*":
        return "the target is neither a path nor an asterisk"
    return ""


def encode_head(head: RequestHead) -> bytes:
    """The request line and the fields, including the empty line, of a head that is not encoded.

    Raises UnsendableHeadError.
    """
    method = head.method
    target = head.target
    if method not in _USUAL and (not method or method.translate(None, _TOKEN) or method == b"CONNECT"):
        raise UnsendableHeadError("the method is not a token, or asks for a tunnel")
    fault = target_fault(target)
    if fault:
        raise UnsendableHeadError(fault)
    headers = head.headers
    names, values = zip(*headers, strict=True) if headers else ((), ())
    small = sum(map(len, names)) <= _REMEMBERED_BYTES
    before, length_at = _remembered(names) if small else _before_values(names)
    joined = b"".join(values)  # checked together: field by field it would cost several times as much
    if joined.translate(_VALUES) != joined:  # the very same object, where nothing had to be changed
        raise UnsendableHeadError("a field value has control characters")
    parts = [b""] * (2 * len(names))
    parts[::2] = before
    parts[1::2] = values
    return b"".join((method, b" ", target, b" HTTP/1.1", *parts, _framing(head, length_at)))


def _before_values(names: tuple[bytes, ...]) -> tuple[tuple[bytes, ...], int | None]:
    """What stands before the value of each field, and which of them is Content-Length; None: no one is."""
    lowered = [name.lower() for name in names]
    if any(not name or name.translate(None, _TOKEN) for name in names):
        raise UnsendableHeadError("a field name is not a token")
    if b"transfer-encoding" in lowered:
        raise UnsendableHeadError("Transfer-Encoding is not the caller's to set")
    if lowered.count(b"host") > 1:
        raise UnsendableHeadError("more than one Host")
    lengths = lowered.count(b"content-length")
    if lengths > 1:
        raise UnsendableHeadError("Content-Length is not the length of the body")
    return tuple([b"\r\n%b: " % name for name in names]), lowered.index(b"content-length") if lengths else None


_remembered = lru_cache(_REMEMBERED)(_before_values)


def _framing(head: RequestHead, length_at: int | None) -> bytes:
    """What follows the last value: a framing field if one is missing, and the empty line."""
    length = head.body_length
    if head.upgrade and length != 0:
        raise UnsendableHeadError("an upgrade has no body")
    if length_at is None:
        if length is None:
            return b"\r\nTransfer-Encoding: chunked\r\n\r\n"
        return b"\r\nContent-Length: %d\r\n\r\n" % length if length else b"\r\n\r\n"
    if length is None or head.headers[length_at][1] != b"%d" % length:
        raise UnsendableHeadError("Content-Length is not the length of the body")
    return b"\r\n\r\n"
