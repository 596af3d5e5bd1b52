"""Header rules between a client and a service, shared by both doors.

Pure functions over a `Request` and raw field lists. Hop-by-hop fields (RFC 9110 section 7.6.1) and those that
`Connection` names are removed first, then ours are set; `Host` is kept. Ambiguous framing (RFC 9112 section 6.3) is
refused, never forwarded.
"""

import re
from collections.abc import Iterable

from tunnel.port import Headers, RequestHead

from ..rules.request import Request
from ..rules.routes import HOST_FIELD_BYTES
from .forwarded import FORWARDED, forwarding, is_claim

_HOST = re.compile(rb"[A-Za-z0-9._:\[\]-]*")

_HOP_BY_HOP = frozenset(
    (
        b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade",
        b"proxy-authenticate", b"proxy-authorization", b"http2-settings",
    )
)  # fmt: skip
_DROPPED = _HOP_BY_HOP | FORWARDED
_PROTECTED = frozenset((b"host", b"content-length"))  # kept even if `Connection` names them


class BadRequestError(ValueError):
    """The request breaks HTTP in a way that must not be forwarded; the text may be shown to the client."""


def is_websocket_upgrade(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether this is a WebSocket handshake: `Upgrade: websocket` and `upgrade` among the tokens of `Connection`.

    Case does not matter, and fields may be repeated or joined (RFC 6455 section 4.2.1).
    """
    upgrade = connection = False
    for name, value in headers:
        lowered = name.lower()
        if lowered == b"upgrade":
            upgrade = upgrade or b"websocket" in _tokens(value)
        elif lowered == b"connection":
            connection = connection or b"upgrade" in _tokens(value)
    return upgrade and connection


def checked_host(request: Request) -> str:
    """The Host field as sent; "" if there is none. Raises BadRequestError for several fields or an invalid name."""
    if len(request.all(b"host")) > 1:
        raise BadRequestError("more than one Host header")
    if len(request.host) > HOST_FIELD_BYTES or not _HOST.fullmatch(request.host):
        raise BadRequestError("Host is not a host name")
    return request.host.decode("latin-1")


def request_head(request: Request) -> RequestHead:
    """The head of an ordinary request, as the service will see it. Raises BadRequestError."""
    headers: Headers = []
    length: int | None = 0
    chunked = False
    dropped = _named_by_connection(request.fields)
    trusted = request.trusted
    content_length: bytes | None = None
    for name, value in request.fields:
        if name == b"content-length":
            if not value.isdigit() or len(value) > 18 or (content_length is not None and content_length != value):
                raise BadRequestError("ambiguous Content-Length")
            if content_length is None:
                content_length = value
                headers.append((name, value))
        elif name == b"transfer-encoding":
            if value.strip().lower() != b"chunked" or chunked:
                raise BadRequestError("unsupported Transfer-Encoding")
            chunked = True
        elif name not in dropped and (trusted or not is_claim(name)):
            headers.append((name, value))
    if chunked and content_length is not None:
        raise BadRequestError("both Content-Length and Transfer-Encoding")
    if chunked:
        length = None
    elif content_length is not None:
        length = int(content_length)
    headers.extend(_forwarding(request))
    return RequestHead(request.method.encode("ascii"), request.target, headers, length)


def upgrade_head(request: Request, handshake: Headers) -> RequestHead:
    """The head of our own WebSocket handshake with the service: the client's other fields, then `handshake`."""
    dropped = _named_by_connection(request.fields) | {b"content-length"}
    trusted = request.trusted
    headers = [
        (name, value)
        for name, value in request.fields
        if name not in dropped and not name.startswith(b"sec-websocket-") and (trusted or not is_claim(name))
    ]
    headers.extend(_forwarding(request))
    headers.extend(handshake)
    return RequestHead(b"GET", request.target, headers, upgrade=True)


def response_headers(headers: Headers, *, keep_length: bool = True) -> Headers:
    """An answer's fields with lower-case names, as ASGI wants them. Hop-by-hop fields were removed before."""
    return [
        (lowered, value)
        for lowered, value in ((name.lower(), value) for name, value in headers)
        if keep_length or lowered != b"content-length"
    ]


def is_event_stream(headers: Headers) -> bool:
    """Whether these are server-sent events, which may be silent for any time; TCP keep-alive finds dead clients."""
    return any(
        name.lower() == b"content-type" and value.lower().startswith(b"text/event-stream") for name, value in headers
    )


def accept_headers(headers: Headers) -> Headers:
    """The fields of a 101 to pass to the client: all except the handshake's own and hop-by-hop fields."""
    dropped = _named_by_connection([(name.lower(), value) for name, value in headers]) | {b"content-length"}
    return [
        (name.lower(), value)
        for name, value in headers
        if name.lower() not in dropped and not name.lower().startswith(b"sec-websocket-")
    ]


def _forwarding(request: Request) -> Headers:
    theirs = request.fields if request.trusted else ()
    return forwarding(request.peer, request.peer_scheme, request.host, theirs=theirs)


def _named_by_connection(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    named: set[bytes] = set()
    for name, value in headers:
        if name == b"connection":
            named.update(_tokens(value))
    return _DROPPED | (named - _PROTECTED) if named else _DROPPED


def _tokens(value: bytes) -> list[bytes]:
    return [token.strip().lower() for token in value.split(b",")]
