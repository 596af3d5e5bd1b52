"""Header rules between a client and a service, shared by both doors.

Pure functions over a `Request` and raw field lists. Hop-by-hop fields (RFC 9110 section 7.6.1) and those that
`Connection` names are removed first, then ours are set; `Host` is kept. Ambiguous framing (RFC 9112 section 6.3) is
refused, never forwarded.
"""

from collections.abc import Iterable

from tunnel.http1 import target_fault
from tunnel.port import Headers, RequestHead, ResponseHead

from ..observed.request_id import with_request_id
from ..rules.fields import VALUES
from ..rules.hosts import is_host
from ..rules.policy import NO_CHANGES, HeaderChanges, Policy
from ..rules.request import Request
from ..rules.shape import DROPPED, REQUEST_ID, is_claim, is_lookalike
from .dates import date_now, dated, has_date
from .forwarded import forwarding
from .rewriting import fields_for_client, request_for_service

MISPLACED_STAR = "the target * is for OPTIONS"
_METHODS = {name: name.encode("ascii") for name in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")}
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
    if request.hosts > 1:
        raise BadRequestError("more than one Host header")
    if not is_host(request.host):
        raise BadRequestError("Host is not a host name")
    return request.host.decode("latin-1")


def fault_of(request: Request) -> str:
    """What is wrong with a request, whatever route it may have. Empty: nothing."""
    try:
        checked_host(request)
        if not request.is_websocket:
            request_head(request, NO_CHANGES)
    except BadRequestError as error:
        return str(error)
    if is_misplaced_star(request):
        return MISPLACED_STAR
    return target_fault(request.target)


def is_misplaced_star(request: Request) -> bool:
    """Whether it asks for the host as a whole by another method (RFC 9112 section 3.2.4)."""
    return request.path == b"*" and request.method != "OPTIONS"


def request_head(request: Request, changes: HeaderChanges) -> RequestHead:
    """The head of an ordinary request, as the service will see it. Raises BadRequestError."""
    passed = request.passed
    if passed is None or request.forwarding is not None or changes is not NO_CHANGES:
        return _careful_head(request, changes)
    # The usual head: what the long way makes of the same request, without a look at each field.
    key = (request.peer, request.peer_scheme, request.host)
    stranger = _strangers.get(key) or _new_stranger(key)
    target = request.asked or (request.path + b"?" + request.query if request.query else request.path)
    method = _METHODS.get(request.method)
    if stranger.block is None or method is None or (not request.is_checked and target_fault(target)):
        return _careful_head(request, changes)
    encoded = b"%b %b HTTP/1.1%b%b\r\nx-request-id: %b\r\n\r\n" % (
        method, target, passed, stranger.block, request.request_id.encode("ascii")
    )  # fmt: skip
    return RequestHead(method, target, None, request.body_length, False, encoded)


def _careful_head(request: Request, changes: HeaderChanges) -> RequestHead:
    """The head after a look at each field."""
    headers: Headers = []
    length: int | None = 0
    chunked = False
    dropped = _dropped(request.connection)
    withheld = is_claim if request.forwarding is None else is_lookalike
    content_length: bytes | None = None
    for field in request.fields:
        name, value = field
        if name == b"content-length":
            if not value.isdigit() or len(value) > 18 or (content_length is not None and content_length != value):
                raise BadRequestError("ambiguous Content-Length")
            if content_length is None:
                content_length = value
                headers.append((name, b"%d" % int(value)))
        elif name == b"transfer-encoding":
            if value.strip().lower() != b"chunked" or chunked:
                raise BadRequestError("unsupported Transfer-Encoding")
            chunked = True
        elif name not in dropped and not withheld(name):
            headers.append(field)
    if chunked and content_length is not None:
        raise BadRequestError("both Content-Length and Transfer-Encoding")
    if chunked:
        length = None
    elif content_length is not None:
        length = int(content_length)
    headers.extend(_forwarding(request))
    return RequestHead(request.method.encode("ascii"), request.target, _own(request, changes, headers), length)


def upgrade_head(request: Request, policy: Policy, handshake: Headers) -> RequestHead:
    """The head of our own WebSocket handshake with the service: the client's other fields, then `handshake`."""
    if policy.rewrite is not None:
        request = request_for_service(policy.rewrite, request)
    dropped = _dropped(request.connection) | {b"content-length"}
    withheld = is_claim if request.forwarding is None else is_lookalike
    headers = [
        (name, value)
        for name, value in request.fields
        if name not in dropped and not name.startswith(b"sec-websocket-") and not withheld(name)
    ]
    headers.extend(_forwarding(request))
    headers.extend(handshake)
    return RequestHead(b"GET", request.target, _own(request, policy.request_headers, headers), upgrade=True)


def response_headers(headers: Headers, *, keep_length: bool = True) -> Headers:
    """An answer's fields with lower-case names, as ASGI wants them. Hop-by-hop fields were removed before."""
    return [
        (lowered, value)
        for lowered, value in ((name.lower(), value) for name, value in headers)
        if keep_length or lowered != b"content-length"
    ]


def answer_fields(head: ResponseHead, request_id: str, changes: HeaderChanges, *, close: bool) -> Headers:
    """The fields of an answer for its client: in lower case, with the id, a Date, and what the route changes.

    `close`: the connection ends with this answer. A 304 may announce the length of what it does not send; servers would
    wait for it.
    """
    fields = [
        (lowered, value)
        for lowered, value in [(name.lower(), value) for name, value in head.headers]
        if lowered != REQUEST_ID
    ]
    if head.status == 304:
        fields = [field for field in fields if field[0] != b"content-length"]
    if not has_date(fields):
        fields.append((b"date", date_now()))
    if close:
        fields.append((b"connection", b"close"))
    if changes.set or changes.remove:
        return with_request_id(changes.apply(fields), request_id)
    fields.append((REQUEST_ID, request_id.encode("ascii")))
    return fields


def passes_unchanged(status: int, block: bytes, policy: Policy) -> bool:
    """Whether a whole answer with these lines passes as it came, but for its id and Date; see `answer_fields`."""
    return (
        policy.response_headers is NO_CHANGES
        and policy.sticky != "cookie"
        and 200 <= status < 600
        and status != 304
        and REQUEST_ID not in block.lower()
    )


def is_event_stream(headers: Headers) -> bool:
    """Whether these are server-sent events, which may be silent for any time; TCP keep-alive finds dead clients."""
    return any(
        name.lower() == b"content-type" and value.lower().startswith(b"text/event-stream") for name, value in headers
    )


def refusal_fields(head: ResponseHead, request: Request, policy: Policy) -> Headers:
    """The fields of a service's answer to a handshake that is no 101, for the client."""
    fields = dated(response_headers(head.headers))
    if policy.rewrite is not None:
        fields = fields_for_client(policy.rewrite, request, fields)
    return with_request_id(policy.response_headers.apply(fields), request.request_id)


def accept_headers(headers: Headers, request: Request, policy: Policy) -> Headers:
    """The fields of a 101 to pass to the client: all except the handshake's own and hop-by-hop fields."""
    connection = b",".join(value for name, value in headers if name.lower() == b"connection")
    dropped = _dropped(connection) | {b"content-length"}
    fields = [
        (name.lower(), value)
        for name, value in headers
        if name.lower() not in dropped and not name.lower().startswith(b"sec-websocket-")
    ]
    return fields if policy.rewrite is None else fields_for_client(policy.rewrite, request, fields)


def _own(request: Request, changes: HeaderChanges, headers: Headers) -> Headers:
    """What the route changes, and the request's id as its only `X-Request-ID`."""
    if changes.set or changes.remove:
        return with_request_id(changes.apply(headers), request.request_id)
    headers.append((REQUEST_ID, request.request_id.encode("ascii")))
    return headers


class _Stranger:
    """A client that is not trusted, at one host: what we say of it."""

    __slots__ = ("block", "fields")

    def __init__(self, peer: str, scheme: str, host: bytes) -> None:
        self.fields = forwarding(peer, scheme, host)
        """Never changed."""
        values = b"".join([value for _, value in self.fields])
        self.block = (
            b"".join([b"\r\n%b: %b" % field for field in self.fields]) if values.translate(VALUES) == values else None
        )
        """The same as lines; None where they could not be sent."""


_strangers: dict[tuple[str, str, bytes], _Stranger] = {}
_STRANGERS = 1_024
_STRANGER_BYTES = 255
"""Clients of whom the fields are remembered: an address, a scheme and a host, none longer than this."""


def _new_stranger(key: tuple[str, str, bytes]) -> _Stranger:
    stranger = _Stranger(*key)
    if len(key[2]) <= _STRANGER_BYTES:
        if len(_strangers) >= _STRANGERS:
            _strangers.clear()
        _strangers[key] = stranger
    return stranger


def _forwarding(request: Request) -> Headers:
    if request.forwarding is not None:
        return request.forwarding
    key = (request.peer, request.peer_scheme, request.host)
    return (_strangers.get(key) or _new_stranger(key)).fields


def _dropped(connection: bytes) -> frozenset[bytes]:
    """Hop-by-hop fields, and those that `Connection` names."""
    if not connection or connection.lower() in (b"keep-alive", b"close"):
        return DROPPED
    return DROPPED | (frozenset(_tokens(connection)) - _PROTECTED)


def _tokens(value: bytes) -> list[bytes]:
    return [token.strip().lower() for token in value.split(b",")]
