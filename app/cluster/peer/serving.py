"""The owner's side of peer links: streams of other nodes, carried by this node's own links. Never by a third node.

A stream's preamble says what it is for; the wiring finds a link of our own for it. Streams of yamux links are spliced
(`splice.py`), those of other links go to a door of ours (`BareDoor`). What gets no link is answered so, and nothing of
it was passed on.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from tunnel.errors import LinkBusyError, LinkLostError, NodeDrainingError, NotHereError, NotPassedOnError, TunnelError
from tunnel.gateway.yamux import YamuxStream
from tunnel.override import override
from tunnel.port import Target
from tunnel.streams import ByteStream, StreamOwner
from tunnel.wire import refusals
from tunnel.wire.routing_header import encode as encode_routing_header

from ...node.asking import Operator
from ...observed.metrics import HopEnd
from .answering import Queries
from .preamble import Preamble, PreambleDecoder, PreambleError, refused, through
from .reasons import answer_to, code_of, end_of, reset_code_of
from .session import PeerSession, PeerUser
from .splice import Hop, Raw, Splice

logger = logging.getLogger("gateway")

PREAMBLE_SECONDS: Final = 10.0
"""From a stream's opening to the end of its preamble: nodes send it at once."""


Answer = Callable[[TunnelError | None], None]
"""Writes the answer to the asking node, once and before anything else: None: through; else refused, for this reason.
The end of the stream after a refusal is the door's."""
BreakOff = Callable[[TunnelError], None]
"""Resets the stream after what was written, and tells the asking node this reason."""


class BareDoor(Protocol):
    """A door of our own on a stream, for a link that carries exchanges and no bytes."""

    def __call__(self, stream: ByteStream, early: bytes, answer: Answer, break_off: BreakOff, /) -> None:
        """Own the stream from now on. `early` is what came already; it is not acknowledged yet."""


@dataclass(slots=True, frozen=True)
class Bare:
    """A link of another dialect that may carry a stream."""

    door: BareDoor
    agent_id: str
    dialect: str


class OwnLinks(Protocol):
    """The links of this node, and no others."""

    def __call__(self, wanted: Preamble, /) -> Raw | Bare:
        """Raises TunnelError: NotHereError, NodeDrainingError and NodeBusyError send the asking node elsewhere."""


class Serving:
    """All streams that other nodes have opened here."""

    def __init__(self, own_links: OwnLinks, operator: Operator | None = None) -> None:
        self.own_links = own_links
        self.operator = operator
        """Answers queries of other nodes for the operator's API. None: nobody does."""
        self.is_draining = False
        """Every new stream is answered so: a refusal by yamux would not promise that nothing was passed on."""
        self.opened = 0
        """How many streams there were, those of queries for the operator too."""
        self.refused = 0
        """How many of them, without those of queries, got another answer than through."""
        self.answers = dict.fromkeys(HopEnd, 0)
        """What they were answered."""
        self.running: set[Splice] = set()
        """Those that are spliced now."""
        self._passed_bytes = [0, 0]
        """By splices that are over, to the agents and from them."""

    @property
    def passed_bytes(self) -> tuple[int, int]:
        """By all splices, to the agents and from them. Looks at every stream."""
        sent, received = self._passed_bytes
        sent += sum(splice.from_node.passed_bytes for splice in self.running)
        received += sum(splice.from_agent.passed_bytes for splice in self.running)
        return sent, received

    def ended(self, splice: Splice) -> None:
        """Both directions of a splice are over."""
        self.running.discard(splice)
        self._passed_bytes[0] += splice.from_node.passed_bytes
        self._passed_bytes[1] += splice.from_agent.passed_bytes

    def user_of(self, session: PeerSession, closed: Callable[[str], None]) -> "Served":
        """The user of a link on which another node opens streams."""
        return Served(self, session, closed)


class Served(PeerUser, Hop):
    """One peer link, at its owner's end."""

    def __init__(self, serving: Serving, session: PeerSession, closed: Callable[[str], None]) -> None:
        self.serving = serving
        self.session = session
        self._on_closed = closed
        self._queries = Queries(session)
        self._unread: dict[YamuxStream, float] = {}
        """Streams without a complete preamble, oldest first, and since when."""

    @override
    def stream_opened(self, stream: YamuxStream, /) -> None:
        self.serving.opened += 1
        self._unread[stream] = self.session.clock()
        stream.owner = _Unread(self, stream)

    @override
    def ticked(self, now: float, /) -> None:
        while self._unread:
            stream, since = next(iter(self._unread.items()))
            if now - since < PREAMBLE_SECONDS:
                return
            del self._unread[stream]
            logger.warning("node %s: a stream without a preamble was reset", self.node)
            stream.reset()

    @override
    def stopping(self) -> None: ...

    @override
    def closed(self, reason: str, /) -> None:
        self._unread.clear()
        self._on_closed(reason)

    # --- told by its streams

    def forget(self, stream: YamuxStream) -> None:
        """Its preamble came, or never will."""
        self._unread.pop(stream, None)

    def begin(self, stream: YamuxStream, wanted: Preamble, early: bytes, received_bytes: int) -> None:
        """A stream has said what it is for. `early` is not acknowledged; it is the end of what was received."""
        if wanted.operator:
            if early:
                stream.acknowledge(len(early))
            self._queries.begin(stream, early, self.serving.operator)
            return
        try:
            if self.serving.is_draining:
                raise NodeDrainingError("the node is about to stop")
            way = self.serving.own_links(wanted)
            if wanted.agent_tls if isinstance(way, Raw) else not wanted.http:
                raise NotHereError(f"the agent's link does not speak what {wanted} was opened for")
            if isinstance(way, Raw):
                self._splice(stream, wanted, early, received_bytes, way)
            else:
                lose = partial(self.lose, stream, wanted=wanted)
                way.door(stream, early, self._answer_of(stream, wanted, way), lose)
        except TunnelError as error:
            if early:
                stream.acknowledge(len(early))
            self.refuse(stream, error, wanted)

    @override
    def refuse(self, stream: YamuxStream, error: TunnelError, wanted: Preamble) -> None:
        """Answer that nothing was passed on, and end the stream."""
        self._note_refused(error, wanted)
        stream.write(answer_to(error))
        self.session.doom(stream)

    def refuse_unread(self, stream: YamuxStream, error: PreambleError) -> None:
        """The same, for what cannot be understood."""
        self.serving.refused += 1
        self.serving.answers[HopEnd.REFUSED] += 1
        logger.warning("node %s: a stream was refused: %s", self.node, error)
        stream.write(refused(refusals.OTHER, f"bad preamble: {error}"))
        self.session.doom(stream)

    # --- told by its splices

    @property
    def node(self) -> str:
        """The id of the asking node."""
        return self.session.node

    @override
    def answered(self) -> None:
        self.serving.answers[HopEnd.THROUGH] += 1

    @override
    def lose(self, stream: YamuxStream, error: TunnelError, wanted: Preamble) -> None:
        """Reset a stream after all that the service had sent, and say why."""
        logger.debug(
            "node %s: %s broke off: %s", self.node, wanted, error, extra={"request_id": wanted.request_id}
        )  # fmt: skip
        self.session.doom(stream, reset_code_of(error))

    @override
    def ended(self, splice: Splice) -> None:
        self.serving.ended(splice)

    # --- inside

    def _splice(self, stream: YamuxStream, wanted: Preamble, early: bytes, received_bytes: int, way: Raw) -> None:
        out = way.carrier.open_stream()
        out.target = Target(
            wanted.cluster, wanted.namespace, wanted.service, wanted.port, publisher=wanted.publisher
        )  # fmt: skip
        out.write(encode_routing_header(wanted.service, wanted.namespace, wanted.port))
        splice = Splice(self, stream, out, wanted, way)
        self.serving.running.add(splice)
        if early:
            splice.from_node.take(early)
        splice.came_ahead(received_bytes)

    def _answer_of(self, stream: YamuxStream, wanted: Preamble, way: Bare) -> Answer:
        def answer(error: TunnelError | None) -> None:
            if error is None:
                self.answered()
                stream.write(through(way.agent_id, way.dialect))
            else:
                self._note_refused(error, wanted)
                stream.write(answer_to(error))

        return answer

    def _note_refused(self, error: TunnelError, wanted: Preamble) -> None:
        self.serving.refused += 1
        self.serving.answers[end_of(code_of(error))] += 1
        level = logging.DEBUG if isinstance(error, NotPassedOnError | LinkBusyError | LinkLostError) else logging.INFO
        logger.log(
            level, "node %s: %s was refused: %s", self.node, wanted, error,
            extra={"request_id": wanted.request_id, "about": str(wanted)},
        )  # fmt: skip


class _Unread(StreamOwner):
    """The owner of a stream whose preamble is not complete."""

    __slots__ = ("_decoder", "_received_bytes", "_served", "_stream")

    def __init__(self, served: Served, stream: YamuxStream) -> None:
        self._received_bytes = 0
        self._served = served
        self._stream = stream
        self._decoder = PreambleDecoder()

    @override
    def data_received(self, data: bytes, /) -> None:
        stream, served = self._stream, self._served
        self._received_bytes += len(data)
        try:
            wanted = self._decoder.feed(data)
        except PreambleError as error:
            served.forget(stream)
            stream.acknowledge(len(data))
            served.refuse_unread(stream, error)
            return
        rest = self._decoder.rest
        if len(data) > len(rest):
            stream.acknowledge(len(data) - len(rest))
        if wanted is not None:
            served.forget(stream)
            served.begin(stream, wanted, rest, self._received_bytes)

    @override
    def end_received(self) -> None:
        self._served.forget(self._stream)
        self._stream.reset()

    @override
    def stream_lost(self, error: TunnelError, /) -> None:
        self._served.forget(self._stream)

    @override
    def stream_writable(self) -> None: ...
