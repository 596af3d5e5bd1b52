"""The facts of one request, as its door read them: made once, never changed.

Everything behind a door takes this value and nothing else of the request: no ASGI scope, no settings. The fields stay
the bytes that came; a name is looked up when somebody asks for it.
"""

import msgspec

from tunnel.port import Headers


class Request(msgspec.Struct, frozen=True, eq=False, gc=False):
    """One request or WebSocket handshake of a client, without its body.

    Frozen at no cost: assigning to an attribute raises AttributeError.
    """

    method: str
    """As sent; `GET` for a WebSocket."""
    host: bytes
    """The first Host field as sent, with its port; empty where there is none."""
    path: bytes
    """The raw path as it came, without the prefix under which the gateway is mounted; never empty."""
    query: bytes
    """The raw query, without its `?`; empty where there is none."""
    hosts: int
    """How many Host fields there are: more than one is an error."""
    connection: bytes
    """The values of Connection, joined with commas (RFC 9110 section 5.3); empty where there is none."""
    upgrade: bytes
    """The values of Upgrade, joined with commas."""
    fields: Headers
    """The field lines in their order, names in lower case, repetitions kept (RFC 9110 section 5.3)."""
    passed: bytes | None
    """What of `fields` passes as it came, and how long the body is: see `fields.py`."""
    body_length: int
    peer: str
    """The address that the connection comes from; `unknown` where the server does not say."""
    peer_scheme: str
    """The scheme of the connection: `http` or `https`."""
    client: str
    """The client's address: the peer's, or what a trusted proxy says. That may be `unknown`, or an obfuscated name."""
    scheme: str
    """The scheme that the client used: the connection's, or what a trusted proxy says."""
    forwarding: Headers | None
    """What a trusted proxy says of its client, as the service gets it. None: the peer is none, and is the client."""
    request_id: str
    """The id under which every log on the way knows this request."""
    subprotocols: tuple[str, ...] = ()
    """What a WebSocket's client offers, in its order (RFC 6455 section 4.1)."""
    is_websocket: bool = False
    prefix: str = ""
    """Where the gateway is mounted, decoded; empty at the root."""
    asked: bytes = b""
    """Path and query as they came, where the door knows more than the two: a `?` with nothing after it."""
    is_checked: bool = False
    """The door has refused what must not be in a method, a target or a value (RFC 9110 section 5.5)."""
    trace_id: str = ""
    """The trace that it belongs to: see `trace.py`. Empty: it names none."""

    @property
    def target(self) -> bytes:
        """Path and query in origin form (RFC 9112 section 3.2.1)."""
        return self.asked or (self.path + b"?" + self.query if self.query else self.path)

    def first(self, name: bytes) -> bytes | None:
        """The value of the first field of this name (in lower case); None where there is none."""
        for key, value in self.fields:
            if key == name:
                return value
        return None

    def all(self, name: bytes) -> list[bytes]:
        """The values of every field of this name (in lower case), in their order."""
        return [value for key, value in self.fields if key == name]

    @property
    def bearer_token(self) -> bytes:
        """The token of `Authorization: Bearer` (RFC 6750 section 2.1); empty where there is none."""
        kind, _, token = (self.first(b"authorization") or b"").partition(b" ")
        return token.strip() if kind.lower() == b"bearer" else b""


FORGOTTEN = Request("GET", b"", b"/", b"", 0, b"", b"", [], None, 0, "unknown", "http", "unknown", "http", None, "")
"""In place of a request that has been answered, where what follows may last for days."""
