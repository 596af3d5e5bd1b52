"""A `proxy_request` as the agent reads it (sections 5 and 5.1): which keys count, and where the request goes.

Values of the wrong type are ignored, as in the original; only a body that cannot be decoded refuses the message.
A route that lacks a part is not an error: the request goes to the Kubernetes API.
"""

import contextlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto

from tests.existing.envelope import Message, Payload, RefusedError, decode_base64
from tests.existing.golang import canonical, duration_seconds, encode_path, encode_query, parse_time
from tests.existing.options import Options
from tests.existing.wire import Header, Headers

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "te",
        "trailers",
        "transfer-encoding",
        "upgrade",
        "proxy-authenticate",
        "proxy-authorization",
    }
)
DOMAIN = "svc.cluster.local"
HTTP_SECONDS = 120.0
WEBSOCKET_SECONDS = 24 * 3600.0
_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")
_NO_DEADLINE = "0001-01-01T00:00:00Z"


class Where(Enum):
    """Where a request goes."""

    SERVICE = auto()
    INGRESS = auto()
    KUBERNETES = auto()
    NOWHERE = auto()


@dataclass(frozen=True)
class Order:
    """One request of the gateway's."""

    id: str
    method: str
    path: str
    query: str
    headers: Headers
    body: bytes | None
    streaming: bool
    body_binary: bool
    tls: bool
    service: str
    namespace: str
    port: int
    protocol: str
    streamed_answer: bool
    flagged_websocket: bool
    seconds: float

    def header(self, name: str) -> str:
        """The first value of a header, or nothing."""
        return next((values[0] for key, values in self.headers.items() if key == canonical(name) and values), "")

    @property
    def websocket(self) -> bool:
        """Whether it opens a WebSocket (section 8.1)."""
        names = ("Sec-WebSocket-Key", "Sec-WebSocket-Version", "Sec-WebSocket-Protocol")
        return (
            self.flagged_websocket
            or bool(self.protocol)
            or self.header("Upgrade").lower() == "websocket"
            or any(self.header(name) for name in names)
        )

    @property
    def complete(self) -> bool:
        """Whether the route has all its parts."""
        return bool(self.service and self.namespace and self.port > 0)

    @property
    def bare(self) -> bool:
        """Whether the route has no part at all."""
        return not (self.service or self.namespace or self.port)

    def where(self, options: Options) -> Where:
        """Section 5.1."""
        host = self.header("Host") or self.header("X-Forwarded-Host")
        if self.websocket:
            if self.complete:
                return Where.SERVICE
            if self.path.startswith(("/api/", "/apis/")):
                return Where.KUBERNETES
            return Where.INGRESS if options.ingress else Where.NOWHERE
        if not self.service and options.ingress and host in options.ingress_hosts:
            return Where.INGRESS
        if self.complete:
            return Where.SERVICE
        if self.bare and options.ingress and not looks_like_kubernetes(self.path):
            return Where.INGRESS
        return Where.KUBERNETES

    def authority(self) -> str:
        """Name and port of the service inside the cluster."""
        return f"{self.service}.{self.namespace}.{DOMAIN}:{self.port}"

    def target(self) -> str:
        """Path and query towards a service; ValueError with the agent's text."""
        if self.path and not self.path.startswith("/"):
            raise ValueError("invalid path: path must start with '/'")
        for forbidden in ("..", "://"):
            if forbidden in self.path:
                raise ValueError(f"invalid path: path cannot contain '{forbidden}'")
        for part, name in (("name", self.service), ("namespace", self.namespace)):
            if not _LABEL.fullmatch(name) or len(name) > 253:
                raise ValueError(f"invalid service {part}: {name!r}")
        if self.port > 65535:
            raise ValueError(f"invalid service port: {self.port}")
        try:
            query = encode_query(self.query)
        except ValueError as error:
            raise ValueError(f"invalid query string: {error}") from error
        return encode_path(self.path) + (f"?{query}" if query else "")

    def service_headers(self) -> list[Header]:
        """Headers towards a service, as in section 5.2; the host apart."""
        dropped = HOP_BY_HOP | {"host"}
        return [
            (name, value) for name, values in self.headers.items() if name.lower() not in dropped for value in values
        ]


def looks_like_kubernetes(path: str) -> bool:
    """Paths that are the Kubernetes API's (section 5.1, rule 4)."""
    prefixes = ("/api/", "/apis/", "/healthz", "/readyz", "/livez", "/version", "/openapi")
    return path in {"/api", "/apis"} or path.startswith(prefixes)


def read_headers(value: object) -> Headers:
    """An object of arrays, or of bare strings; anything else is ignored."""
    headers: Headers = {}
    for name, values in (value if isinstance(value, dict) else {}).items():
        listed = [values] if isinstance(values, str) else values if isinstance(values, list) else []
        texts = [text for text in listed if isinstance(text, str)]
        if texts:
            headers.setdefault(canonical(name), []).extend(texts)
    return headers


def _body(payload: Payload) -> bytes | None:
    body = payload.get("body")
    if isinstance(body, dict | list):
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    if not isinstance(body, str) or not body:
        return None
    if _text(payload, "body_encoding").lower() != "base64":
        return body.encode(errors="replace")
    try:
        return decode_base64(body)
    except ValueError as error:
        raise RefusedError("2", f"request body is not padded standard base64: {error}") from error


def _text(payload: Payload, key: str) -> str:
    value = payload.get(key)
    return value if isinstance(value, str) else ""


def _number(payload: Payload, key: str) -> float:
    value = payload.get(key)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else 0


def _seconds(payload: Payload, *, websocket: bool) -> float:
    limits: list[float] = []
    timeout = payload.get("timeout")
    seconds = duration_seconds(timeout) if isinstance(timeout, str) else _number(payload, "timeout") / 1000
    if seconds and seconds > 0:
        limits.append(seconds)
    deadline = _text(payload, "deadline")
    if deadline and deadline != _NO_DEADLINE:
        with contextlib.suppress(ValueError):
            limits.append((parse_time(deadline) - datetime.now(UTC)).total_seconds())
    return min(limits, default=WEBSOCKET_SECONDS if websocket else HTTP_SECONDS)


def read_order(message: Message) -> Order:
    """The request in a `proxy_request`; raises RefusedError."""
    if not message.request_id:
        raise RefusedError("5", "proxy_request without a request_id at the top level")
    payload = message.payload
    flagged = payload.get("is_websocket") is True or payload.get("isWebSocket") is True
    order = Order(
        id=message.request_id,
        method=_text(payload, "method").upper() or "GET",
        path=_text(payload, "path"),
        query=_text(payload, "query"),
        headers=read_headers(payload.get("headers")),
        body=_body(payload),
        streaming=payload.get("streaming") is True or payload.get("use_streaming") is True,
        body_binary=payload.get("body_binary") is True,
        tls=_text(payload, "scheme") == "https",
        service=_text(payload, "service_name"),
        namespace=_text(payload, "namespace"),
        port=int(_number(payload, "service_port")),
        protocol=_text(payload, "protocol"),
        streamed_answer=payload.get("supports_response_streaming") is True,
        flagged_websocket=flagged,
        seconds=0.0,
    )
    return Order(**{**order.__dict__, "seconds": _seconds(payload, websocket=order.websocket)})
