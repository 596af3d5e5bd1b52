"""Puts one query for the operator's API to another node, over the peer link that this one dialled.

The stream ends with the reply; whoever leaves before it resets the stream, and the other node ends its query. What has
come is counted in the account until the reply is handed over.
"""

import asyncio

from tunnel.account import Holding
from tunnel.errors import MessageTooLargeError, ServiceUnreachableError, StreamRefusedError, TunnelError
from tunnel.gateway.yamux import YamuxStream
from tunnel.nobody import NO_OWNER
from tunnel.override import override
from tunnel.streams import StreamOwner

from ...node.asking import Query, Reply
from .preamble import OPERATOR, AnswerDecoder, Code, PreambleError, encode
from .query import QUERY_BYTES, REPLY_BYTES, STATUS_BYTES, encoded, reply_of
from .reasons import error_of
from .session import PeerSession


async def put(session: PeerSession, query: Query) -> Reply:
    """The other node's reply, however long it takes. Raises TunnelError."""
    data = encoded(query)
    if len(data) > QUERY_BYTES:
        raise MessageTooLargeError(f"the query has more than {QUERY_BYTES} bytes")
    stream = session.open_stream()
    question = _Question(session, stream)
    stream.write(encode(OPERATOR) + data)
    stream.write_end()
    try:
        return await question.reply
    finally:
        question.close()


class _Question(StreamOwner):
    """One stream, until its reply is whole."""

    def __init__(self, session: PeerSession, stream: YamuxStream) -> None:
        self.reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._node = session.node
        self._stream = stream
        self._holding = Holding(session.account)
        self._decoder: AnswerDecoder | None = AnswerDecoder()
        """None: the answer was "through"."""
        self._pieces: list[bytes] = []
        self._size_bytes = 0
        stream.owner = self

    @override
    def data_received(self, data: bytes, /) -> None:
        self._stream.acknowledge(len(data))
        if self.reply.done():
            return
        if self._decoder is not None:
            rest = self._answer(self._decoder, data)
            if rest is None:
                return
            data = rest
        self._pieces.append(data)
        self._size_bytes += len(data)
        self._holding.set(self._size_bytes)
        if self._size_bytes > REPLY_BYTES + STATUS_BYTES:
            self._fail(MessageTooLargeError(f"its reply has more than {REPLY_BYTES} bytes"))

    @override
    def end_received(self) -> None:
        if self.reply.done():
            return
        try:
            self.reply.set_result(reply_of(b"".join(self._pieces)))
        except ValueError:
            self._fail(StreamRefusedError("its reply ended before it had begun"))

    @override
    def stream_lost(self, error: TunnelError, /) -> None:
        self._fail(error)

    @override
    def stream_writable(self) -> None: ...

    def close(self) -> None:
        """Nobody waits any more: leave nothing; idempotent."""
        self._stream.owner = NO_OWNER
        self._stream.reset()  # where it is over already, it does nothing
        self._holding.close()
        self._pieces.clear()

    def _answer(self, decoder: AnswerDecoder, data: bytes) -> bytes | None:
        """What follows the answer; None: it is not complete, or a refusal."""
        try:
            answer = decoder.feed(data)
        except PreambleError as bad:
            self._fail(StreamRefusedError(f"its answer cannot be read: {bad}"))
            return None
        if answer is None:
            return None
        if answer.code != Code.THROUGH:
            error = error_of(answer, self._node)
            if isinstance(error, ServiceUnreachableError) and "bad preamble" in answer.text:
                error = StreamRefusedError("it is of a release that answers no queries of other nodes")
            self._fail(error)
            return None
        self._decoder = None
        return decoder.rest

    def _fail(self, error: TunnelError) -> None:
        if not self.reply.done():
            self.reply.set_exception(error)
