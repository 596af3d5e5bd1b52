"""A request as a `proxy_request`. One that this message cannot carry unchanged is refused before anything is sent.

The existing agent takes a decoded path and encodes it again, as Go's `net/url` does: it keeps `$&+,/:;=@` and
unreserved characters and encodes the rest. So an encoded slash or semicolon would change its meaning, and JSON cannot
hold what is not UTF-8. The agent also parses a query, sorts it by key and encodes it again; a `;` or a bad escape makes
that fail.
Nothing is repaired here: the client gets an error instead (tunnel/PROTOCOL.md section 5, "Limits").
"""

import re
from urllib.parse import unquote_to_bytes

from tunnel.errors import ServiceUnreachableError, TlsFailedError
from tunnel.http1 import UnsendableHeadError
from tunnel.http1.request import encode_head
from tunnel.port import Headers, RequestHead, Target
from tunnel.wire.proxy_messages import ProxyRequest

HTTP_TIMEOUT_MS = 3_600_000
"""An hour. The doors hold the deadlines; this only stops an agent that would otherwise go on for nobody. The existing
agent's own limit is 30 s. Never set on a WebSocket: the agent would end it after that time without telling us."""

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_NOT_ASCII = re.compile(rb"[^\x21-\x7e]")

_NOT_SENT = frozenset(
    (
        b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"trailers", b"transfer-encoding",
        b"upgrade", b"proxy-authenticate", b"proxy-authorization", b"content-length",
        b"expect",  # the body is already on its way
        b"sec-websocket-key", b"sec-websocket-version", b"sec-websocket-extensions", b"sec-websocket-accept",
    )
)  # fmt: skip

_SUBPROTOCOLS = b"sec-websocket-protocol"


class UnsayableError(UnsendableHeadError):
    """This dialect cannot carry the request unchanged. The text names the rule and the dialect."""


def proxy_request(head: RequestHead, target: Target, dialect: str) -> ProxyRequest:
    """The payload, without a body. Raises UnsayableError, UnsendableHeadError, and TunnelError for a bad target."""
    check_target(target, dialect)
    encode_head(head)  # refuses anything that is not clearly one request
    path, _, query = head.target.partition(b"?")
    return ProxyRequest(
        method=head.method.decode("ascii"),
        path=decoded_path(path, dialect),
        query=checked_query(query, dialect),
        headers=_fields(head.headers, dialect, upgrade=head.upgrade),
        service_name=target.service,
        namespace=target.namespace,
        service_port=target.port,
        scheme=target.scheme,
        is_websocket=head.upgrade,
        timeout=0 if head.upgrade else HTTP_TIMEOUT_MS,
        cluster_uuid=target.cluster,
    )


def check_target(target: Target, dialect: str) -> None:
    """Refuse an incomplete target: the existing agent would send the request to the Kubernetes API.

    Raises ServiceUnreachableError, and TlsFailedError if the certificate must be verified: the agent does not do that.
    """
    complete = _LABEL.fullmatch(target.service) and _LABEL.fullmatch(target.namespace) and 0 < target.port < 65536
    if not complete:
        raise ServiceUnreachableError(f"{target} is not a complete target")
    if target.scheme == "https" and target.verify:
        raise TlsFailedError(
            f"agents of the {dialect} dialect do not verify certificates: set verify = false on the route to {target}, "
            "or use an agent that speaks yamux"
        )


def decoded_path(path: bytes, dialect: str) -> str:
    """The percent-decoded path. Raises UnsayableError if it would mean something else once encoded again."""
    if path[:1] != b"/":
        raise UnsayableError(f"the {dialect} dialect cannot carry a target that does not begin with a slash")
    if _BAD_ESCAPE.search(path):
        raise UnsayableError(f"the {dialect} dialect cannot carry a path with a bad percent escape")
    if b"%2f" in path.lower():
        raise UnsayableError(f"the {dialect} dialect cannot carry an encoded slash in a path")
    try:
        decoded = unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        raise UnsayableError(f"the {dialect} dialect cannot carry a path that is not UTF-8") from None
    if b"%2e" in path.lower() and "." in decoded.split("/"):
        raise UnsayableError(f"the {dialect} dialect cannot carry an encoded dot segment in a path")
    for text, name in ((";", "a semicolon"), ("..", "two dots in a row"), ("://", "'://'")):
        if text in decoded:
            raise UnsayableError(f"the {dialect} dialect cannot carry a path with {name}")
    return decoded


def checked_query(query: bytes, dialect: str) -> str:
    """The raw query as ASCII. Raises UnsayableError if the agent would refuse it."""
    if b";" in query:
        raise UnsayableError(f"the {dialect} dialect cannot carry a query with a semicolon")
    if _BAD_ESCAPE.search(query):
        raise UnsayableError(f"the {dialect} dialect cannot carry a query with a bad percent escape")
    return _NOT_ASCII.sub(lambda found: b"%%%02X" % found[0][0], query).decode("ascii")


def _fields(headers: Headers, dialect: str, *, upgrade: bool) -> dict[str, list[str]]:
    """Names in the case that the existing agent looks them up in, each with its values in order.

    Only handshakes keep `Sec-WebSocket-Protocol`: that field alone makes the existing agent open a WebSocket, and an
    upload to a WebSocket blocks the agent for good (tunnel/PROTOCOL.md section 5, "WebSockets").
    """
    named = {token.strip().lower() for name, value in headers if name.lower() == b"connection"
             for token in value.split(b",")} - {b"host"}  # fmt: skip
    fields: dict[str, list[str]] = {}
    for name, value in headers:
        lowered = name.lower()
        if lowered in _NOT_SENT or lowered in named or (lowered == _SUBPROTOCOLS and not upgrade):
            continue
        try:
            text = value.decode()
        except UnicodeDecodeError:
            raise UnsayableError(f"the {dialect} dialect cannot carry a field value that is not UTF-8") from None
        fields.setdefault(_canonical(lowered), []).append(text)
    return fields


def _canonical(name: bytes) -> str:
    words = [word.capitalize() for word in name.decode("ascii").split("-")]
    if words[:2] == ["Sec", "Websocket"]:
        words[1] = "WebSocket"
    return "-".join(words)
