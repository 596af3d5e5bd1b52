"""The asking side of a peer link: exchanges of this node's clients, carried by another node's agents.

An upstream like that of a local yamux link: a stream is a connection to the service, pooled while idle, with TLS in it
where the route says so. A stream begins with the preamble, and the first request follows in the same write. Before the
owner's answer at most `AHEAD_BYTES` leave, and nothing that comes counts. Any answer but "through" ends the exchange
with an error, most of them a `NotPassedOnError`; so the caller may try elsewhere whatever the method, while it still
has all that it sent.
"""

from collections.abc import Hashable
from dataclasses import replace
from typing import Final

from tunnel.errors import LinkLostError, ServiceUnreachableError, StreamRefusedError, TunnelError
from tunnel.gateway.json.carrier import UPGRADE_ALLOWANCE_SECONDS
from tunnel.gateway.proxied.request import check_target
from tunnel.gateway.yamux import PooledUpstream, YamuxStream
from tunnel.override import override
from tunnel.port import Exchange, RequestHead, Sink, Target

from ...observed.record import HOP
from .counts import HopCounts
from .preamble import AHEAD_BYTES, AnswerDecoder, Code, Preamble, PreambleError, encode
from .reasons import end_of, error_of
from .session import PeerSession, PeerUser

_BYTES_PASS: Final = frozenset({"", "yamux"})
"""The dialects in which a stream is a connection to the service; in the others it is one to the owner's own door."""
_REQUEST_ID: Final = b"x-request-id"
_REQUEST_ID_CHARS: Final = 200

_Key = tuple[Target, str, str, Hashable]


class Asking(PeerUser):
    """What this node asks of one other: the upstreams over the link that it dialled."""

    def __init__(self, session: PeerSession, counts: HopCounts | None = None) -> None:
        """`counts`: of all links of this node."""
        self.session = session
        self.counts = counts if counts is not None else HopCounts()
        self.active = 0
        """Running exchanges, without idle pooled connections."""
        self._upstreams: dict[_Key, PeerUpstream] = {}
        self._unused: set[PeerUpstream] = set()  # at the last look; the next one drops them
        self._expired_at = session.clock()
        self.account, self.clock = session.account, session.clock
        self.is_lost = False

    @property
    def going_away(self) -> bool:
        """No stream may be opened any more."""
        return self.session.going_away

    @property
    def node(self) -> str:
        """The id of the other node."""
        return self.session.node

    def upstream(
        self, target: Target, *, agent_id: str = "", dialect: str = "", claim: Hashable = None
    ) -> "PeerUpstream":
        """The upstream to a target over this agent of the node, whose link speaks `dialect`; the same one while in use.

        `claim`: what says that the node has the link; another link has another claim, and so another upstream. Raises
        LinkLostError once the link between the nodes is over.
        """
        if self.is_lost:
            raise LinkLostError(f"there is no link to node {self.node}")
        key = target, agent_id, dialect, claim
        upstream = self._upstreams.get(key)
        if upstream is None:
            upstream = self._upstreams[key] = PeerUpstream(self, target, agent_id, dialect, claim)
        return upstream

    def retire(self) -> None:
        """Open no streams from now on, and keep none for another exchange: the node is about to stop. Idempotent."""
        self.session.going_away = True
        self.stopping()

    # --- told by the session

    @override
    def stream_opened(self, stream: YamuxStream, /) -> None:
        stream.reset()  # only the dialler opens streams

    @override
    def ticked(self, now: float, /) -> None:
        if now - self._expired_at < 1.0:
            return
        self._expired_at = now
        unused: set[PeerUpstream] = set()
        for key, upstream in list(self._upstreams.items()):
            upstream.expire(now)
            if upstream.idle:
                if upstream in self._unused:
                    del self._upstreams[key]
                else:
                    unused.add(upstream)
        self._unused = unused

    @override
    def stopping(self) -> None:
        for upstream in self._upstreams.values():
            upstream.pool.close()

    @override
    def closed(self, reason: str, /) -> None:
        self.is_lost = True
        self._upstreams.clear()

    def __repr__(self) -> str:
        return f"<Asking {self.node}, {self.active} active, {len(self._upstreams)} upstreams>"


class PeerUpstream(PooledUpstream):
    """Over one agent of another node."""

    __slots__ = ("_asked", "_asking", "_wanted", "agent_id", "claim", "dialect", "node")

    agent_id: str | None
    dialect: str
    node: str

    def __init__(self, asking: Asking, target: Target, agent_id: str, dialect: str, claim: Hashable = None) -> None:
        here = target if dialect in _BYTES_PASS else replace(target, scheme="http")  # its agent speaks TLS, if any
        super().__init__(asking, here, HOP + asking.node)
        self._asking = asking
        self._asked = target
        self._wanted = agent_id
        self.agent_id = agent_id or None
        """The agent that took the latest stream; before that the one that was chosen."""
        self.dialect = dialect or "yamux"
        self.node = asking.node
        self.claim = claim
        """What said that the node has the agent."""

    @override
    def open(self, head: RequestHead, sink: Sink, fresh: bool = False, /) -> Exchange:
        self._asking.counts.exchanges += 1
        return super().open(head, sink, fresh)

    def answered(self, code: int) -> None:
        """Count the answer to a stream."""
        self._asking.counts.answers[end_of(code)] += 1

    @property
    @override
    def upgrade_allowance(self) -> float:
        return UPGRADE_ALLOWANCE_SECONDS if self.dialect == "json" else 0.0

    @override
    def _open_stream(self, head: RequestHead, /, *, fresh: bool) -> YamuxStream:
        preamble = self._preamble(head, fresh=fresh)
        session = self._asking.session
        stream = session.open_stream()
        stream.target = self.target
        kept = session.session.restrain(stream.stream_id, AHEAD_BYTES)
        session.session.deliver_to(stream.stream_id, _Opening(self, session, stream, kept))
        stream.write(preamble)
        return stream

    def _preamble(self, head: RequestHead, *, fresh: bool) -> bytes:
        target = self._asked
        if self.dialect not in _BYTES_PASS:
            check_target(target, self.dialect)
        preamble = Preamble(
            target.cluster, target.namespace, target.service, target.port, target.publisher, self._wanted,
            _request_id(head), http=self.target.scheme == "http", fresh=fresh,
            upgrade=head.upgrade, agent_tls=target.scheme != self.target.scheme,
        )  # fmt: skip
        try:
            return encode(preamble)
        except PreambleError as error:
            raise ServiceUnreachableError(f"node {self.node} cannot be asked for {target}: {error}") from None


class _Opening:
    """A stream before its answer."""

    __slots__ = ("_decoder", "_kept", "_session", "_stream", "_upstream")

    def __init__(self, upstream: PeerUpstream, session: PeerSession, stream: YamuxStream, kept: int) -> None:
        self._upstream = upstream
        self._session = session
        self._stream = stream
        self._kept = kept
        """Credit that is not used before the answer."""
        self._decoder = AnswerDecoder()

    def deliver(self, data: bytes) -> int:
        """Take what the owner sends. Returns what to give credit for."""
        stream, node = self._stream, self._session.node
        error: TunnelError
        try:
            answer = self._decoder.feed(data)
        except PreambleError as bad:
            error = StreamRefusedError(f"node {node}: {bad}")
        else:
            if answer is None:
                return len(data)
            self._upstream.answered(answer.code)
            if answer.code == Code.THROUGH:
                self._upstream.agent_id = answer.agent_id or None
                self._upstream.dialect = answer.dialect or self._upstream.dialect
                session = self._session.session
                session.deliver_to(stream.stream_id, stream)
                session.release(stream.stream_id, self._kept)
                rest = self._decoder.rest
                return len(data) - len(rest) + (stream.deliver(rest) if rest else 0)
            error = error_of(answer, node)
        self._session.abandon(stream, error)
        return 0


def _request_id(head: RequestHead) -> str:
    """The request's own id, where it has one."""
    for name, value in head.headers:
        if name.lower() == _REQUEST_ID:
            return value.decode("latin-1")[:_REQUEST_ID_CHARS]
    return ""
