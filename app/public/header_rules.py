"""Header rules between a client and a service (design, section 6, rules 6 and 7), once for all doors.

Synchronous functions over ASGI scopes and raw header lists. Hop-by-hop fields, and those that `Connection` names, go
first; then ours are set. `Host` is kept. What the client says of itself in `X-Forwarded-*` and `Forwarded` is
believed only when the connection comes from a trusted proxy. Ambiguous framing is refused, never forwarded.
"""

import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import quote, unquote_to_bytes

from tunnel.port import Headers, RequestHead

from ..asgi.answers import Scope
from ..settings import Settings

_HOST = re.compile(r"[A-Za-z0-9._:\[\]-]*")

_HOP_BY_HOP = frozenset(
    (
        b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade",
        b"proxy-authenticate", b"proxy-authorization", b"http2-settings",
    )
)  # fmt: skip
_FORWARDED = frozenset((b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"))
_DROPPED = _HOP_BY_HOP | _FORWARDED
_PROTECTED = frozenset((b"host", b"content-length"))  # never dropped because `Connection` named them


class BadRequestError(ValueError):
    """The request breaks HTTP in a way that must not be forwarded; the text may be shown to the client."""


def is_websocket_upgrade(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether this is a WebSocket handshake: `Upgrade: websocket` and `upgrade` among the tokens of `Connection`.

    Names and tokens in any case, fields repeated or joined (RFC 6455 section 4.2.1; the requirement's part 1.1).
    """
    upgrade = connection = False
    for name, value in headers:
        lowered = name.lower()
        if lowered == b"upgrade":
            upgrade = upgrade or b"websocket" in _tokens(value)
        elif lowered == b"connection":
            connection = connection or b"upgrade" in _tokens(value)
    return upgrade and connection


def host_header(scope: Scope) -> bytes:
    """The first Host header, as sent; empty when there is none."""
    host: bytes = next((value for name, value in scope["headers"] if name == b"host"), b"")
    return host


def host_of(scope: Scope) -> str:
    """The one Host header, as sent; "" when there is none. Raises BadRequestError for several, or none of a host."""
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    if len(hosts) > 1:
        raise BadRequestError("more than one Host header")
    host = hosts[0].decode("latin-1") if hosts else ""
    if not _HOST.fullmatch(host):
        raise BadRequestError("Host is not a host name")
    return host


def raw_path_of(scope: Scope) -> bytes:
    """The path as it came, without the prefix under which we are mounted.

    `raw_path` where the server gives it, else `path` encoded anew (the ASGI specification makes it optional).
    """
    raw: bytes | None = scope.get("raw_path")
    if raw is None:
        path: str = scope["path"]
        raw = quote(path, safe="/:@!$&'()*+,;=~-._").encode()
    raw = raw.partition(b"?")[0]
    prefix: str = scope.get("root_path", "")
    if prefix:
        # The prefix is decoded text, the path is not: compare as many segments.
        segments = raw.split(b"/")
        depth = prefix.count("/") + 1
        if unquote_to_bytes(b"/".join(segments[:depth])) == prefix.encode():
            raw = b"".join(b"/" + segment for segment in segments[depth:])
    return raw or b"/"


def request_head(scope: Scope, settings: Settings, raw_path: bytes) -> RequestHead:
    """The head of an ordinary request, as the service shall see it. Raises BadRequestError."""
    headers: Headers = []
    length: int | None = 0
    chunked = False
    dropped = _named_by_connection(scope["headers"])
    trusted = client_is_trusted(scope, settings)
    content_length: bytes | None = None
    for name, value in scope["headers"]:
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
        elif name not in dropped and (trusted or not _is_claim(name)):
            headers.append((name, value))
    if chunked and content_length is not None:
        raise BadRequestError("both Content-Length and Transfer-Encoding")
    if chunked:
        length = None
    elif content_length is not None:
        length = int(content_length)
    headers.extend(_forwarding(scope, settings))
    return RequestHead(scope["method"].encode("ascii"), _target(scope, raw_path), headers, length)


def upgrade_head(scope: Scope, settings: Settings, raw_path: bytes, handshake: Headers) -> RequestHead:
    """The head of a WebSocket handshake of our own with the service: the client's fields, `handshake` for the rest."""
    dropped = _named_by_connection(scope["headers"]) | {b"content-length"}
    trusted = client_is_trusted(scope, settings)
    headers = [
        (name, value)
        for name, value in scope["headers"]
        if name not in dropped and not name.startswith(b"sec-websocket-") and (trusted or not _is_claim(name))
    ]
    headers.extend(_forwarding(scope, settings))
    headers.extend(handshake)
    return RequestHead(b"GET", _target(scope, raw_path), headers, upgrade=True)


def response_headers(headers: Headers, *, keep_length: bool = True) -> Headers:
    """An answer's fields in ASGI's form: lower-case names; hop-by-hop fields are gone already."""
    return [
        (lowered, value)
        for lowered, value in ((name.lower(), value) for name, value in headers)
        if keep_length or lowered != b"content-length"
    ]


def is_event_stream(headers: Headers) -> bool:
    """Server-sent events: may be silent for as long as they like; a client that vanished is found by keep-alive."""
    return any(
        name.lower() == b"content-type" and value.lower().startswith(b"text/event-stream") for name, value in headers
    )


def accept_headers(headers: Headers) -> Headers:
    """The fields of a 101 that belong to the client: all but the handshake's own and hop-by-hop ones."""
    dropped = _named_by_connection([(name.lower(), value) for name, value in headers]) | {b"content-length"}
    return [
        (name.lower(), value)
        for name, value in headers
        if name.lower() not in dropped and not name.lower().startswith(b"sec-websocket-")
    ]


def bearer_token(scope: Scope) -> bytes:
    """The token of `Authorization: Bearer`; empty when there is none."""
    credentials: bytes = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
    kind, _, token = credentials.partition(b" ")
    return token.strip() if kind.lower() == b"bearer" else b""


def client_is_trusted(scope: Scope, settings: Settings) -> bool:
    """Whether the connection comes from one of `trusted_proxies`."""
    client = scope.get("client")
    return bool(settings.trusted_proxies and client and _is_trusted(client[0], settings))


def is_address(text: str) -> bool:
    """Whether this is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_trusted(text: str, settings: Settings) -> bool:
    if not is_address(text):
        return False
    address = ipaddress.ip_address(text)
    return any(address in network for network in settings.trusted_proxies)


def client_address(scope: Scope, settings: Settings) -> str:
    """The client's IP address: the connection's, or the nearest of X-Forwarded-For that is no trusted proxy."""
    client = scope.get("client")
    address: str = client[0] if client else "unknown"
    if client_is_trusted(scope, settings):
        hops = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for")
        for hop in reversed([part.strip() for part in hops.decode("latin-1").split(",") if part.strip()]):
            if not is_address(hop):
                break
            address = hop
            if not _is_trusted(hop, settings):
                break
    return address


def forwarded_scheme(scope: Scope, settings: Settings) -> str:
    """The scheme that the client used: the connection's, or what a trusted proxy says of it."""
    if client_is_trusted(scope, settings):
        for name, value in scope["headers"]:
            if name == b"x-forwarded-proto":
                said: str = value.decode("latin-1").partition(",")[0].strip().lower()
                if said in ("http", "https", "ws", "wss"):
                    return said
    return str(scope["scheme"])


def _forwarding(scope: Scope, settings: Settings) -> Headers:
    """Our `X-Forwarded-*` and `Forwarded`: from the connection, appended to those of a trusted proxy."""
    client = scope.get("client")
    address: str = client[0] if client else "unknown"
    scheme: str = scope["scheme"].replace("ws", "http", 1)
    host = host_header(scope)
    # RFC 7239 section 6: IPv6 in brackets and quotes.
    node = f'"[{address}]"' if ":" in address else address
    element = f'for={node};proto={scheme};host="{host.decode("latin-1")}"'.encode("latin-1")
    theirs: dict[bytes, bytes] = {}
    if client_is_trusted(scope, settings):
        for name, value in scope["headers"]:
            if name in _FORWARDED:
                theirs[name] = theirs[name] + b", " + value if name in theirs else value
    return [
        (b"x-forwarded-for", _appended(theirs.get(b"x-forwarded-for"), address.encode())),
        (b"x-forwarded-proto", theirs.get(b"x-forwarded-proto", scheme.encode())),
        (b"x-forwarded-host", theirs.get(b"x-forwarded-host", host)),
        (b"forwarded", _appended(theirs.get(b"forwarded"), element)),
    ]


def _appended(before: bytes | None, own: bytes) -> bytes:
    return before + b", " + own if before else own


def _target(scope: Scope, raw_path: bytes) -> bytes:
    query: bytes = scope.get("query_string", b"")
    return raw_path + b"?" + query if query else raw_path


def _is_claim(name: bytes) -> bool:
    """Fields that say where a request comes from, as proxies write them; with `_` for CGI, where both read alike."""
    if name[:1] not in (b"x", b"p", b"f"):
        return False
    plain = name.replace(b"_", b"-")
    return plain.startswith(b"x-forwarded-") or plain in (b"x-real-ip", b"proxy", b"forwarded")


def _named_by_connection(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    named: set[bytes] = set()
    for name, value in headers:
        if name == b"connection":
            named.update(_tokens(value))
    return _DROPPED | (named - _PROTECTED) if named else _DROPPED


def _tokens(value: bytes) -> list[bytes]:
    return [token.strip().lower() for token in value.split(b",")]
