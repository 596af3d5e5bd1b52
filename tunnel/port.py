"""The port between the doors and the tunnel: what a door tells an upstream, and what it is told back.

Push-style: every method is a plain call that returns at once, without a task or an await in between. An `Upstream`
carries exchanges to one target. `open` starts an exchange and returns the `Exchange` that the door talks to; what
comes back goes to the door's `Sink`. A door knows neither dialects nor links.

Order of calls on a sink: `head` (any number of 1xx, then one final head, or a 101), `data`*, `trailers`?, then
exactly one of `end` and `failed`. `writable` may come at any point between. A `WholeSink` may get one call to `whole`
in place of all others but `writable`, and loses its exchange with it. After `end`, `whole`, `failed` or
`Exchange.reset` the sink is never called again, and never before `open` has returned. After a 101, `data` and
`send_data` carry the bytes of the upgraded protocol (RFC 6455 frames).
"""

from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from tunnel.errors import TunnelError
from tunnel.streams import ByteStream, StreamOwner

Headers = list[tuple[bytes, bytes]]
"""Names as they came, values without surrounding blanks, in their order and with repetitions (RFC 9110 section 5)."""

Pool = str | tuple[str, str]
"""The agents that may carry the same exchanges: those of a cluster, or one publisher in a cluster (its id second)."""


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
    """For https: check the service's certificate; False only where the route says so."""
    ca_file: str | None = None
    server_name: str | None = None
    """For https: the name in the certificate; None means the service's cluster DNS name."""
    publisher: str = ""
    """The id of the agent that published it; only its links carry it. Empty: any agent of the cluster."""

    @property
    def pool(self) -> Pool:
        """Whose links carry it."""
        return (self.cluster, self.publisher) if self.publisher else self.cluster

    def __str__(self) -> str:
        return f"{self.cluster}/{self.namespace}/{self.service}:{self.port}"


class RequestHead(msgspec.Struct, eq=False, gc=False):
    """One request without its body.

    `headers` have no hop-by-hop field (RFC 9110 section 7.6.1), except `Connection`, `Upgrade` and `Sec-WebSocket-*`
    of a WebSocket handshake. They keep `Content-Length` where the length is known. Give them as a list, or within
    `encoded`, for an upstream that writes lines; the list is then made for one that wants it.
    """

    method: bytes
    target: bytes
    """Origin-form: the raw path and query as they came (RFC 9112 section 3.2.1)."""
    _headers: Headers | None
    body_length: int | None = 0
    """Bytes of body that will follow; 0: none; None: unknown, so HTTP/1.1 sends it chunked."""
    upgrade: bool = False
    """A WebSocket handshake: a 101 is a valid answer."""
    encoded: bytes | None = None
    """The whole head as HTTP/1.1 sends it, each field as name, colon, blank, value. Whoever makes it answers for it:
    the method and the names are tokens, the target is a path or `*`, without blanks and controls, values have no
    control characters, Host comes once at most, and Content-Length is `body_length`, which is known."""

    @property
    def headers(self) -> Headers:
        """The fields in their order."""
        if self._headers is None:
            lines = (self.encoded or b"").split(b"\r\n")[1:-2]
            self._headers = [(name, value) for name, _, value in (line.partition(b": ") for line in lines)]
        return self._headers

    def __repr__(self) -> str:
        return f"<RequestHead {self.method!r}, {len(self.headers)} fields, body {self.body_length}>"


@dataclass(slots=True)
class ResponseHead:
    """The status and fields of an answer, or of an interim (1xx) answer."""

    status: int
    headers: Headers = field(default_factory=list)
    """Without hop-by-hop fields, except on a 101, which keeps all. `Content-Length` is kept."""


class Sink(Protocol):
    """The door's end of one exchange."""

    __slots__ = ()

    def head(self, head: ResponseHead, /) -> None:
        """An interim answer, the final one, or the 101."""

    def data(self, data: bytes, /) -> None:
        """Body bytes, never empty. After `pause`, what was already being parsed may still come."""

    def trailers(self, headers: Headers, /) -> None:
        """The trailer fields of the answer, after the last `data`."""

    def end(self) -> None:
        """The answer is complete. After a 101: the service ended its direction."""

    def failed(self, error: TunnelError, /) -> None:
        """The exchange broke off; what was not delivered yet is lost."""

    def writable(self) -> None:
        """After `send_data` returned False: send more now."""


class WholeSink(Sink, Protocol):
    """A sink that also takes an answer in one call. A sink takes part by having the method; most answers come so.

    Such a sink forgets its exchange in `whole`, before it calls anything else, and shares it with nobody: the object
    may carry the exchange of another sink by then, and a late call would reset, pause or write into that one.
    """

    __slots__ = ()

    def whole(self, status: int, headers: Headers, block: bytes, body: bytes, /) -> None:
        """The whole answer: the only head (200 or above), all of the body, the end. Only while nothing else was told.

        `headers` is what `ResponseHead.headers` would be, with names in lower case, and the sink's to keep. `block` is
        the same fields as lines, as they came, each with its CR LF, without the empty line: valid as it stands
        (RFC 9112 section 5), and b"" if there are none. `body` may be empty. The exchange is over, and its connection
        free for the next. Do not touch the exchange any more.
        """


class SplicedOwner(Protocol):
    """Whose connection it was that is spliced now."""

    def spliced_ended(self) -> None:
        """Its stream is ended, reset or lost. Told once, by the stream's owner."""


@dataclass(frozen=True, slots=True)
class Spliced:
    """A service's connection after its 101, for the new owner of its stream: it ends the stream, and says so."""

    stream: ByteStream
    connection_owner: SplicedOwner
    input_ended: bool
    """The service has ended its direction already."""
    waiting: bytes
    """What came while the sink had paused."""
    untaken_bytes: int
    """These, and what the sink was told: so many the owner has to acknowledge."""


class Exchange(Protocol):
    """The tunnel's end of one exchange."""

    __slots__ = ()

    @property
    def held_bytes(self) -> int:
        """What the tunnel holds for this exchange: received and not acknowledged, or waiting to be sent."""

    def send_data(self, data: bytes, /) -> bool:
        """Take all of `data` as body. False: send no more until `Sink.writable`."""

    def end(self) -> None:
        """The request body is complete; not needed where none was announced. After a 101: end our direction."""

    def reset(self) -> None:
        """Abandon the exchange; idempotent. To the service it looks as if its client left."""

    def pause(self) -> None:
        """The sink still holds what it was given: deliver no more, and return no credit."""

    def resume(self) -> None:
        """The sink has passed on all it was given: return the credit and deliver what waits.

        May call the sink before it returns.
        """

    def splice(self, owner: StreamOwner, /) -> Spliced | None:
        """After a 101: give the stream to `owner`. The sink is never called again, and the exchange is over.

        None: the exchange is over already, or the upstream does not pass bytes (`Upstream.passes_bytes`).
        """


class Upstream(Protocol):
    """Carries exchanges to one target over one link.

    Its properties are what a door records about the link, and needs to know of it.
    """

    __slots__ = ()

    @property
    def label(self) -> str:
        """The name of the link, such as `link-7`."""

    @property
    def agent_id(self) -> str | None:
        """The agent at the other end; None until it has named itself."""

    @property
    def dialect(self) -> str:
        """`yamux`, `json` or `chunk`."""

    @property
    def node(self) -> str:
        """The id of the node that has the agent; empty: this one."""

    @property
    def passes_bytes(self) -> bool:
        """After a 101 the service's bytes pass as they are: a WebSocket may be spliced."""

    @property
    def upgrade_allowance(self) -> float:
        """Seconds that a WebSocket handshake may take beyond the route's own limit."""

    def open(self, head: RequestHead, sink: Sink, fresh: bool = False, /) -> Exchange:
        """Start an exchange. Raises TunnelError if none can be started, and has not called the sink then.

        Raises UnsendableHeadError for a head that must not be sent. `fresh`: use a new connection to the service (for a
        retry after a lost race).
        """
