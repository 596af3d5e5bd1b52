"""A stream of another node, joined with a stream of a yamux link of our own: bytes pass as they are, both ways.

FIN goes to FIN and RST to RST; credit goes back only when the other side took the bytes. The answer to the asking node
is held back until it is known: a first byte or the end from the service's side is "through", an agent that says that it
has no connection is a refusal with its reason, and nothing was passed on then. After `AHEAD_BYTES` it is "through" in
any case, because the asking node sends no more without it.

Invariants: one answer, before all else; each direction holds at most one window of unacknowledged bytes; the link's
`active` counts the splice from its beginning to the end of both directions, and then nothing refers to the streams.
"""

from dataclasses import dataclass
from typing import Protocol

from tunnel.errors import TunnelError
from tunnel.gateway.yamux import YamuxStream
from tunnel.nobody import NO_OWNER
from tunnel.override import override
from tunnel.streams import StreamOwner

from .preamble import AHEAD_BYTES, Preamble, through
from .reasons import was_not_passed_on


class StreamCarrier(Protocol):
    """A yamux link of our own. `YamuxCarrier` is one."""

    active: int

    def open_stream(self) -> YamuxStream:
        """Raises TunnelError."""


@dataclass(slots=True, frozen=True)
class Raw:
    """A yamux link that may carry a stream."""

    carrier: StreamCarrier
    agent_id: str = ""


class Hop(Protocol):
    """The peer link of the asking node, as its splices see it."""

    @property
    def node(self) -> str:
        """The id of the asking node."""

    def answered(self) -> None:
        """A stream is through."""

    def refuse(self, stream: YamuxStream, error: TunnelError, wanted: Preamble, /) -> None:
        """Answer that nothing was passed on, and end the stream."""

    def lose(self, stream: YamuxStream, error: TunnelError, wanted: Preamble, /) -> None:
        """Reset a stream after all that the service had sent, and say why."""

    def ended(self, splice: "Splice", /) -> None:
        """Both directions are over; told once, while the splice still knows its halves."""


class _Half(StreamOwner):
    """One direction: what this stream receives is written to the other."""

    __slots__ = ("has_ended", "other", "owed_bytes", "passed_bytes", "splice", "stream")

    other: "_Half"

    def __init__(self, splice: "Splice", stream: YamuxStream) -> None:
        self.splice = splice
        self.stream = stream
        self.owed_bytes = 0
        """In the other stream's buffer, which was full: no credit was given for them yet."""
        self.passed_bytes = 0
        self.has_ended = False
        stream.owner = self

    def take(self, data: bytes) -> None:
        """Pass bytes of the stream on, from within its `data_received`. Credit follows once the other has room."""
        size = len(data)
        self.passed_bytes += size
        if self.other.stream.write(data) and not self.owed_bytes:
            self.stream.acknowledge(size)
        else:
            self.owed_bytes += size
            self.stream.pass_on(size)

    @override
    def data_received(self, data: bytes, /) -> None:
        self.take(data)

    @override
    def end_received(self) -> None:
        self.has_ended = True
        self.other.stream.write_end()
        if self.other.has_ended:
            self.splice.over()

    @override
    def stream_writable(self) -> None:
        other = self.other
        owed, other.owed_bytes = other.owed_bytes, 0
        if owed:
            other.stream.repay(owed)


class _FromNode(_Half):
    """What the asking node sends."""

    __slots__ = ()

    @override
    def data_received(self, data: bytes, /) -> None:
        self.take(data)
        if not self.splice.is_answered:
            self.splice.came_ahead(len(data))

    @override
    def stream_lost(self, error: TunnelError, /) -> None:
        self.other.stream.reset()
        self.splice.over()


class _FromAgent(_Half):
    """What the service sends, through our own link."""

    __slots__ = ()

    @override
    def data_received(self, data: bytes, /) -> None:
        if not self.splice.is_answered:
            self.splice.answer()
        self.take(data)

    @override
    def end_received(self) -> None:
        if not self.splice.is_answered:
            self.splice.answer()
        super().end_received()

    @override
    def stream_lost(self, error: TunnelError, /) -> None:
        self.splice.lose_agent(error)


class Splice:
    """One stream of another node, joined with one of a link of ours."""

    __slots__ = ("_ahead_bytes", "_hop", "_way", "from_agent", "from_node", "is_answered", "is_over", "wanted")

    def __init__(self, hop: Hop, near: YamuxStream, far: YamuxStream, wanted: Preamble, way: Raw) -> None:
        self._hop = hop
        self.wanted = wanted
        self._way = way
        self.is_answered = False
        self.is_over = False
        self._ahead_bytes = 0
        """What came before the answer."""
        self.from_node, self.from_agent = _FromNode(self, near), _FromAgent(self, far)
        self.from_node.other, self.from_agent.other = self.from_agent, self.from_node
        way.carrier.active += 1

    def came_ahead(self, size: int) -> None:
        """So much more came before the answer."""
        self._ahead_bytes += size
        if self._ahead_bytes >= AHEAD_BYTES and not self.is_over:
            self.answer()

    def answer(self) -> None:
        """It is through."""
        self.is_answered = True
        self._hop.answered()
        self.from_node.stream.write(through(self._way.agent_id, "yamux"))

    def lose_agent(self, error: TunnelError) -> None:
        """The service's side broke off: say why, after all that it had sent."""
        near, hop = self.from_node.stream, self._hop
        self.over()
        if not self.is_answered and was_not_passed_on(error):
            hop.refuse(near, error, self.wanted)
        else:
            hop.lose(near, error, self.wanted)

    def end(self, error: TunnelError) -> None:
        """This node ends it: both sides are reset, and the asking node is told why. Idempotent."""
        if self.is_over:
            return
        far = self.from_agent.stream
        self.lose_agent(error)
        far.reset()

    def over(self) -> None:
        """Both directions are over: forget the streams, which refer to this. Idempotent."""
        if self.is_over:
            return
        self.is_over = True
        self._way.carrier.active -= 1
        self._hop.ended(self)
        for half in (self.from_node, self.from_agent):
            half.stream.owner = NO_OWNER
            del half.other
        del self.from_node, self.from_agent

    def __repr__(self) -> str:
        if self.is_over:
            return f"<Splice {self.wanted}, over>"
        sent, received = self.from_node.passed_bytes, self.from_agent.passed_bytes
        return f"<Splice {self.wanted} of node {self._hop.node}, {sent} bytes in, {received} out>"
