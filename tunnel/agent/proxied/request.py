"""A `proxy_request` as it came, the service it names, and the HTTP/1.1 head to send there.

Pure: reads no clock, dials nothing, and does not decide what may be reached (`services.py` does). The path comes
percent-decoded (PROTOCOL.md, section 5) and is encoded again, as little as RFC 3986 allows; the query is sent as it
came. A request that cannot be sent unambiguously is refused. Gateways choose the client's status by the first words of
an error (the same section), so these stay as they are.
"""

from urllib.parse import quote

import msgspec

from tunnel.http1 import UnsendableHeadError
from tunnel.http1.request import encode_head
from tunnel.port import Headers, RequestHead
from tunnel.wire.messages import MessageError
from tunnel.wire.proxy_messages import decode_data, header_items
from tunnel.wire.routing_header import RoutingHeader

_PATH_SAFE = "!$&'()*+,/:;=@"
"""What a path may have beside unreserved characters without encoding (RFC 3986 section 3.3)."""
_QUERY_SAFE = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
"""All printable ASCII: a query stays as it came, but characters beyond ASCII are sent as %XX of their UTF-8."""
_OF_THIS_HOP = frozenset((
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade", "host", "content-length",
))  # fmt: skip
"""Not passed on (RFC 9110 section 7.6.1); `Host` and `Content-Length` are set anew."""
_WITH_EMPTY_BODY = frozenset(("POST", "PUT", "PATCH"))
"""Say `Content-Length: 0`, because many services insist on it (RFC 9110 section 8.6)."""
_LENGTH_DIGITS = 15


class RequestError(Exception):
    """A request that cannot be sent to a service; the text is for the gateway."""


class GatewayRequest(msgspec.Struct):
    """gateway -> agent, `proxy_request` (PROTOCOL.md, section 5), with every spelling that gateways use."""

    method: str = ""
    path: str = ""
    query: str = ""
    headers: dict[str, list[str] | str] | None = None
    service_name: str = ""
    namespace: str = ""
    service_port: int = 0
    scheme: str = ""
    body: str | None = None
    body_encoding: str = ""
    body_binary: bool = False
    streaming: bool = False
    use_streaming: bool = False
    supports_response_streaming: bool = False
    is_websocket: bool = False
    is_websocket_too: bool = msgspec.field(default=False, name="isWebSocket")
    protocol: str = ""
    timeout: float = 0
    """Milliseconds until the answer's head."""

    @property
    def for_websocket(self) -> bool:
        """Whether it opens a WebSocket."""
        if self.is_websocket or self.is_websocket_too or self.protocol:
            return True
        items = header_items(self.headers)
        return any(name.lower() == "upgrade" and value.strip().lower() == "websocket" for name, value in items)

    @property
    def uploads(self) -> bool:
        """Whether the body follows in chunks."""
        return self.streaming or self.use_streaming

    def route(self) -> RoutingHeader:
        """The service it is for. Raises RequestError, which names the field."""
        for label, field, value in (
            ("service name", "service_name", self.service_name),
            ("namespace", "namespace", self.namespace),
        ):
            if not value:
                raise RequestError(f"invalid {label}: {field} is missing")
        if not 0 < self.service_port < 65_536:
            raise RequestError("invalid service port: service_port is missing, or not within 1 to 65535")
        return RoutingHeader(self.service_name, self.namespace, self.service_port)

    def subprotocols(self) -> bytes:
        """The WebSocket subprotocols that the client offers, separated by commas; empty for none."""
        items = header_items(self.headers)
        offered = [value for name, value in items if name.lower() == "sec-websocket-protocol"]
        return (", ".join(offered) or self.protocol).encode()

    def whole_body(self) -> bytes:
        """The body that came with it. Raises RequestError."""
        if self.body_binary:
            raise RequestError("invalid body: body_binary is not available in this agent")
        if self.body is None:
            return b""
        if self.body_encoding.lower() != "base64":
            return self.body.encode()
        try:
            return decode_data(self.body)
        except MessageError as error:
            raise RequestError(f"invalid body: {error}") from None

    def head(self, host: str, body_bytes: int, handshake: Headers | None = None) -> RequestHead:
        """The head for the service; `host` is used where the request has none. Raises RequestError.

        `handshake`: the fields that open a WebSocket, the client's offer of subprotocols among them.
        """
        method = self.method.upper() or "GET"
        length = body_bytes if not self.uploads or handshake is not None else self._announced()
        named = {"sec-websocket-"} if handshake is not None else set[str]()
        fields: Headers = [(b"Host", (self._field("host") or host).encode())]
        fields += self._passed_on(named)
        if handshake is not None:
            fields += handshake
        elif length is not None and (length or method in _WITH_EMPTY_BODY):
            fields.append((b"Content-Length", b"%d" % length))
        head = RequestHead(method.encode(), self._target(), fields, length, upgrade=handshake is not None)
        try:
            encode_head(head)
        except UnsendableHeadError as error:
            raise RequestError(f"service request failed: {error}") from None
        return head

    def _target(self) -> bytes:
        """Path and query as they stand in the request line. Raises RequestError."""
        path = self.path or "/"
        if not path.startswith("/"):
            raise RequestError("invalid path: it does not begin with a slash")
        if ".." in path.split("/"):
            raise RequestError("invalid path: it leads upwards")
        if any(character <= " " or character == "\x7f" for character in self.query):
            raise RequestError("invalid query string: it has blanks or control characters")
        query = f"?{quote(self.query, safe=_QUERY_SAFE)}" if self.query else ""
        return (quote(path, safe=_PATH_SAFE) + query).encode()

    def _announced(self) -> int | None:
        """The length of a body that follows, if the request has it."""
        text = self._field("content-length").strip()
        return int(text) if text.isascii() and text.isdigit() and len(text) <= _LENGTH_DIGITS else None

    def _field(self, wanted: str) -> str:
        """The first value of a field; empty when there is none."""
        return next((value for name, value in header_items(self.headers) if name.lower() == wanted), "")

    def _passed_on(self, prefixes: set[str]) -> Headers:
        """The fields for the service: none of this hop, none that Connection names, none with these prefixes."""
        items = header_items(self.headers)
        named = {
            token.strip().lower() for name, value in items if name.lower() == "connection" for token in value.split(",")
        }
        return [
            (name.encode(), value.strip(" \t").encode())
            for name, value in items
            if (lowered := name.lower()) not in _OF_THIS_HOP
            and lowered not in named
            and not lowered.startswith(tuple(prefixes))
        ]
