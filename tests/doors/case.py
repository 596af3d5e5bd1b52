"""A case: bytes of a client, and the right verdict about them.

A verdict says what the service sees and what the client gets, in order, one outcome for each request, and whether the
connection stays open for another. It belongs to no door: where a door differs, the door is wrong, or its table of
deviations says why not. The rule is the sentence that decides the case.
"""

from dataclasses import dataclass, replace

HOST = b"recorder.example.test"
"""A routed host; its service records what arrives."""
WILD = b"wild.example.test"
"""The service of every name below this."""

Fields = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """The service gets this request whole, and the client gets its answer."""

    method: bytes
    target: bytes = b"/"
    body: bytes = b""
    fields: Fields = ()
    """For each name in it, all values that the service gets, in their order."""
    absent: tuple[bytes, ...] = ()
    """Names that the service gets neither in the head nor among the trailers."""
    unsaid: tuple[bytes, ...] = ()
    """What stands in none of the values that the service gets."""
    trailers: Fields = ()
    """What may arrive after the body: these trailers or none (RFC 9112 section 7.1.2)."""
    answer: bytes | None = None
    """The bytes of the answer after its head, as they are on the wire."""
    answer_trailers: Fields | None = None
    """What the client gets behind the answer's body; None: anything or nothing."""
    interim: tuple[int, ...] | None = None
    """The interim answers that the client gets, all of them; None: 100, once or not at all."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The service gets this WebSocket handshake, answers 101, and so does the gateway."""

    target: bytes = b"/"
    fields: Fields = ()
    absent: tuple[bytes, ...] = ()
    messages: tuple[bytes, ...] = ()
    """What arrives at the service, which sends it back to the client."""
    pongs: int = 0


@dataclass(frozen=True, slots=True)
class Refused:
    """The client gets one of these statuses, and the service gets no whole request."""

    statuses: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Answered:
    """The client gets one of these statuses, from the gateway or the service; no WebSocket is opened."""

    statuses: tuple[int, ...]


Outcome = Seen | Opened | Refused | Answered


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of all that the client sent."""

    outcomes: tuple[Outcome, ...]
    """None: the client is waited for. When it ends the connection, nothing whole has reached the service."""
    stays: bool | None
    """Whether the same connection then takes another request; None: either is right."""

    def __add__(self, later: "Verdict") -> "Verdict":
        """The outcomes of one connection, one after the other."""
        return Verdict((*self.outcomes, *later.outcomes), later.stays)


def seen(method: bytes = b"GET", target: bytes = b"/", body: bytes = b"", **more: object) -> Verdict:
    """See `Seen`. The connection stays, unless `.closing()` says otherwise."""
    return Verdict((Seen(method, target, body, **more),), stays=True)  # type: ignore[arg-type]


def opened(target: bytes = b"/", **more: object) -> Verdict:
    """See `Opened`. The connection is no longer one for requests."""
    return Verdict((Opened(target, **more),), stays=None)  # type: ignore[arg-type]


def refused(*statuses: int) -> Verdict:
    """See `Refused`. What follows on the connection cannot be trusted: it is closed."""
    return Verdict((Refused(statuses),), stays=False)


def turned_away(*statuses: int) -> Verdict:
    """See `Refused`. The request itself was well framed, so the connection may stay or not."""
    return Verdict((Refused(statuses),), stays=None)


def answered(*statuses: int) -> Verdict:
    """See `Answered`."""
    return Verdict((Answered(statuses),), stays=None)


def closing(verdict: Verdict) -> Verdict:
    """The same, and the connection is closed after it."""
    return replace(verdict, stays=False)


def perhaps_closing(verdict: Verdict) -> Verdict:
    """The same, and the connection may be closed after it or not."""
    return replace(verdict, stays=None)


WAITED_FOR = Verdict((), stays=None)
BAD = refused(400)


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the corpus."""

    name: str
    sent: bytes
    verdict: Verdict
    rule: str
    then: bytes = b""
    """Sent once there is an interim answer or a 101, or the gateway has read all before."""
    also: Verdict | None = None
    """Another verdict that is as right."""


def head(line: bytes, *lines: bytes) -> bytes:
    """These lines, each with its end, and the empty line."""
    return b"\r\n".join((line, *lines, b"", b""))


def get(*lines: bytes, target: bytes = b"/", version: bytes = b"HTTP/1.1") -> bytes:
    """A GET of the recorder with these field lines."""
    return head(b"GET %b %b" % (target, version), b"Host: " + HOST, *lines)


def post(*lines: bytes, body: bytes = b"", target: bytes = b"/", version: bytes = b"HTTP/1.1") -> bytes:
    """A POST to the recorder with these field lines, and then these bytes."""
    return head(b"POST %b %b" % (target, version), b"Host: " + HOST, *lines) + body


def chunked(body: bytes, *lines: bytes, target: bytes = b"/") -> bytes:
    """A POST to the recorder whose body is framed as chunks: `body` as it stands."""
    return post(b"Transfer-Encoding: chunked", *lines, body=body, target=target)
