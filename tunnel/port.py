"""The port between the doors and the tunnel: what a door says to an upstream, and what it is told.

Push-style: every method is a plain call that returns at once; there is no task and no await on the way.
An `Upstream` carries exchanges to one target; `open` starts one and returns its `Exchange`, through which the
door speaks; the door's `Sink` is told what comes back. A door does not know which dialect it got.

Order of calls on a sink: `head` (1xx any number of times, then once the final one, or a 101), `data`*,
`trailers`?, then exactly one of `end` and `failed`; `writable` may come in between. After `end`, `failed` or
`Exchange.reset` the sink is never called again. `open` never calls the sink before it has returned.
After a 101 head, `data` and `send_data` carry the bytes of the upgraded protocol (RFC 6455 frames).
"""

from dataclasses import dataclass, field
from typing import Protocol

from tunnel.errors import TunnelError

Headers = list[tuple[bytes, bytes]]
"""Field names as they came, values without surrounding blanks, order and repetitions kept (RFC 9110 section 5)."""


@dataclass(slots=True, frozen=True)
class Target:
    """Where an exchange goes: one port of one service in one namespace of one cluster."""

    cluster: str
    namespace: str
    service: str
    port: int
    scheme: str = "http"
    """`http` or `https`."""
    verify: bool = True
    """For https: check the service's certificate; `False` only where the route says so."""
    ca_file: str | None = None
    server_name: str | None = None
    """For https: the name in the certificate; the service's cluster DNS name when None."""

    def __str__(self) -> str:
        return f"{self.cluster}/{self.namespace}/{self.service}:{self.port}"


@dataclass(slots=True)
class RequestHead:
    """One request without its body.

    `headers` hold no hop-by-hop field (RFC 9110 section 7.6.1) but, for an upgrade, `Connection`, `Upgrade` and the
    `Sec-WebSocket-*` of the handshake. `Content-Length` stays among them where the length is known.
    """

    method: bytes
    target: bytes
    """Origin-form: the raw path and query as they came (RFC 9112 section 3.2.1)."""
    headers: Headers
    body_length: int | None = 0
    """Bytes of body to come; 0: none; None: unknown, HTTP/1.1 sends it chunked."""
    upgrade: bool = False
    """A WebSocket handshake: a 101 is a valid answer."""


@dataclass(slots=True)
class ResponseHead:
    """One answer's status and fields; interim (1xx) ones too."""

    status: int
    headers: Headers = field(default_factory=list)
    """Without hop-by-hop fields, except on a 101, which keeps all. `Content-Length` stays."""


class Sink(Protocol):
    """The door's end of one exchange."""

    __slots__ = ()

    def head(self, head: ResponseHead, /) -> None:
        """An interim answer, the final one, or the 101."""

    def data(self, data: bytes, /) -> None:
        """Body bytes, never empty. While paused, at most what was already being parsed may still come."""

    def trailers(self, headers: Headers, /) -> None:
        """The answer's trailer section, after the last `data`."""

    def end(self) -> None:
        """The answer is complete (after a 101: the service ended its direction)."""

    def failed(self, error: TunnelError, /) -> None:
        """The exchange is over, and not in order; what was not yet delivered is lost."""

    def writable(self) -> None:
        """After `send_data` returned False: more is welcome now."""


class Exchange(Protocol):
    """The tunnel's end of one exchange."""

    __slots__ = ()

    @property
    def held_bytes(self) -> int:
        """What the tunnel holds for this exchange: received and not acknowledged, and waiting to leave."""

    def send_data(self, data: bytes, /) -> bool:
        """Take body bytes (all of them). False: hold the rest until `Sink.writable`."""

    def end(self) -> None:
        """The request body is complete (after a 101: our direction ends)."""

    def reset(self) -> None:
        """Abandon the exchange; idempotent. The service sees its client leave."""

    def pause(self) -> None:
        """The sink still holds what it was given: deliver no more, return no credit for it."""

    def resume(self) -> None:
        """The sink has passed on all it was given: return its credit and deliver what waits.

        May call the sink before it returns.
        """


class Upstream(Protocol):
    """Carries exchanges to one target over one link (or, later, to another node).

    Besides `open` it tells what a door records of it and needs to know of it.
    """

    __slots__ = ()

    @property
    def label(self) -> str:
        """The name of the link, such as `link-7`."""

    @property
    def agent_id(self) -> str | None:
        """The agent at the other end; None until it has said its name."""

    @property
    def dialect(self) -> str:
        """`yamux`, `json` or `chunk`."""

    @property
    def upgrade_allowance(self) -> float:
        """Seconds beyond a route's own that a WebSocket's handshake may take."""

    def open(self, head: RequestHead, sink: Sink, /, *, fresh: bool = False) -> Exchange:
        """Start an exchange. Raises `TunnelError` when none can be started, with the sink untouched.

        `fresh`: on a connection to the service that nobody used before (a retry after a lost race).
        """
