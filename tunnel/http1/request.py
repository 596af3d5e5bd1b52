"""Encodes the head of a request, and refuses one that another parser could read differently.

It never repairs: a head that is not clearly one request is refused whole, with nothing written. It adds only framing
fields that are missing: `Transfer-Encoding: chunked` for a body of unknown length, `Content-Length` for one of known
length. So the framing on the wire always agrees with `body_length`.
"""

from tunnel.port import RequestHead

_TOKEN = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""RFC 9110 section 5.6.2: methods and field names."""
_IN_VALUES_NEVER = bytes(byte for byte in range(0x20) if byte != 0x09) + b"\x7f"
"""RFC 9110 section 5.5: control characters except tab."""
_IN_TARGETS_NEVER = bytes(range(0x21)) + b"\x7f"

_REPEATABLE = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})


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
    if not method or method.translate(None, _TOKEN) or method == b"CONNECT":
        raise UnsendableHeadError("the method is not a token, or asks for a tunnel")
    if not target or len(target.translate(None, _IN_TARGETS_NEVER)) != len(target):
        raise UnsendableHeadError("the target is empty or has blanks or control characters")
    if target[0] != 0x2F and target != b"*":
        raise UnsendableHeadError("the target is neither a path nor an asterisk")
    # One pass over all names and one over all values: checking field by field costs several times as much.
    names = b"\n".join([name for name, _ in headers])
    if names.translate(None, _TOKEN) != b"\n" * (len(headers) - 1):
        raise UnsendableHeadError("a field name is not a token")
    values = b"".join([value for _, value in headers])
    if len(values.translate(None, _IN_VALUES_NEVER)) != len(values):
        raise UnsendableHeadError("a field value has control characters")
    framing = _framing(head, names.lower().split(b"\n") if headers else [])
    return b"\r\n".join([b"%b %b HTTP/1.1" % (method, target), *map(b": ".join, headers), framing])


def _framing(head: RequestHead, names: list[bytes]) -> bytes:
    """The missing framing field, if any, and the empty line; `names` are in lower case."""
    if b"" in names:
        raise UnsendableHeadError("a field name is not a token")
    if b"transfer-encoding" in names:
        raise UnsendableHeadError("Transfer-Encoding is not the caller's to set")
    if names.count(b"host") > 1:
        raise UnsendableHeadError("more than one Host")
    length = head.body_length
    if head.upgrade and length != 0:
        raise UnsendableHeadError("an upgrade has no body")
    if b"content-length" not in names:
        if length is None:
            return b"Transfer-Encoding: chunked\r\n\r\n"
        return b"Content-Length: %d\r\n\r\n" % length if length else b"\r\n"
    announced = head.headers[names.index(b"content-length")][1]
    if names.count(b"content-length") > 1 or length is None or announced != b"%d" % length:
        raise UnsendableHeadError("Content-Length is not the length of the body")
    return b"\r\n"
