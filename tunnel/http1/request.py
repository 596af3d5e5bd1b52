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

_REPEATABLE = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})
_USUAL = _REPEATABLE | {b"POST", b"PATCH"}


class UnsendableHeadError(ValueError):
    """A request head that must not be sent. The text names the rule, never the content."""


class BodyLengthError(ValueError):
    """More or less body than the head announced. The exchange was reset, and its sink is not called."""


def is_repeatable(method: bytes) -> bool:
    """Whether the method is idempotent (RFC 9110 section 9.2.2)."""
    return method in _REPEATABLE


def encode_head(head: RequestHead) -> bytes:
    """The request line and the fields, including the empty line. Raises UnsendableHeadError."""
    method, target, headers = head.method, head.target, head.headers
    if method not in _USUAL and (not method or method.translate(None, _TOKEN) or method == b"CONNECT"):
        raise UnsendableHeadError("the method is not a token, or asks for a tunnel")
    if not target or target.translate(_TARGETS) != target:
        raise UnsendableHeadError("the target is empty or has blanks or control characters")
    if target[0] != 0x2F and target != b"*":
        raise UnsendableHeadError("the target is neither a path nor an asterisk")
    # All names are checked together, and all values: field by field it would cost several times as much.
    names = b"\n".join([name for name, _ in headers])
    length_at = _checked_names(names, len(headers)) if len(names) <= _REMEMBERED_BYTES else _check(names, len(headers))
    values = b"".join([value for _, value in headers])
    if values.translate(_VALUES) != values:  # the very same object, where nothing had to be changed
        raise UnsendableHeadError("a field value has control characters")
    lines = b"\r\n".join(map(b": ".join, headers))
    return b"%b %b HTTP/1.1\r\n%b%b" % (method, target, lines, _framing(head, length_at))


def _check(names: bytes, count: int) -> int | None:
    """Check the names of the fields, one a line. Returns where Content-Length is; None: nowhere."""
    lowered = names.lower().split(b"\n") if count else []
    if names.translate(None, _TOKEN) != b"\n" * (count - 1) or b"" in lowered:
        raise UnsendableHeadError("a field name is not a token")
    if b"transfer-encoding" in lowered:
        raise UnsendableHeadError("Transfer-Encoding is not the caller's to set")
    if lowered.count(b"host") > 1:
        raise UnsendableHeadError("more than one Host")
    if b"content-length" not in lowered:
        return None
    if lowered.count(b"content-length") > 1:
        raise UnsendableHeadError("Content-Length is not the length of the body")
    return lowered.index(b"content-length")


_checked_names = lru_cache(_REMEMBERED)(_check)


def _framing(head: RequestHead, length_at: int | None) -> bytes:
    """What follows the fields: a framing field if one is missing, and the empty line."""
    length = head.body_length
    if head.upgrade and length != 0:
        raise UnsendableHeadError("an upgrade has no body")
    before = b"\r\n" if head.headers else b""
    if length_at is None:
        if length is None:
            return before + b"Transfer-Encoding: chunked\r\n\r\n"
        return before + (b"Content-Length: %d\r\n\r\n" % length if length else b"\r\n")
    if length is None or head.headers[length_at][1] != b"%d" % length:
        raise UnsendableHeadError("Content-Length is not the length of the body")
    return b"\r\n\r\n"
