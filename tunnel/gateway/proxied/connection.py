"""One link's proxied streams and what waits to leave on it (the requirement's part 5, its faults mended).

The `json` and `chunk` dialects work through this; it knows ids and bytes, no HTTP. Sending never waits and never
loses: above its mark a stream takes no more of its door (`False`), and nobody is timed out. Receiving waits in the
stream's own inbox, so the link's reader never does. Closing is idempotent; what is delivered after it is dropped, and
nothing is sent after it, so it does not race with data.

Invariants: a stream is in the table of one connection, or of none (between two links); order within a stream is kept
both ways; what waits is bounded, per stream by `HIGH_BYTES` and one message, and counted in the account.
"""

from collections.abc import Callable

import anyio
import msgspec

from tunnel.errors import ServiceBrokeOffError, TunnelError
from tunnel.gateway.proxied.answer import AnswerHead
from tunnel.gateway.proxied.inbox import ProxyStream
from tunnel.gateway.proxied.outbox import Lane, Outbox, nothing
from tunnel.gateway.proxied.shared import Proxied
from tunnel.gateway.proxied.window import Window
from tunnel.wire import messages
from tunnel.wire.proxy_messages import ProxyRequest, StreamChunk, StreamClose, encode_data, flat

HEAD, DATA, END, ABORT = range(4)
"""Kinds of pieces in an inbox: the answer's head (`AnswerHead` as JSON), bytes of the body or one encoded WebSocket
message, the end in order, and the end out of order."""

_SMALL_CHARS = 64 * 1024
"""A request no longer than this leaves with the control messages: somebody waits for its answer."""

_decode_head = msgspec.json.Decoder(AnswerHead).decode


def encode_head(head: AnswerHead) -> bytes:
    """A head as it waits in an inbox."""
    return msgspec.json.encode(head)


class UnknownStreamError(LookupError):
    """No stream of this id on this connection."""


class OpenStream:
    """One exchange on its connection: its inbox, its lane to the agent, and what ended it out of order."""

    __slots__ = ("error", "inbox", "keeps_lane", "lane", "request_id")

    def __init__(self, inbox: ProxyStream, lane: Lane) -> None:
        self.request_id = inbox.request_id
        self.inbox = inbox
        self.lane = lane
        self.keeps_lane = False
        self.error: TunnelError | None = None

    async def receive(self) -> tuple[int, bytes]:
        """The next piece. Raises what ended the stream out of order, and `anyio.EndOfStream` after its end."""
        piece = await self.inbox.receive()
        if piece.kind == ABORT:
            raise self.error or ServiceBrokeOffError("the answer was broken off")
        return piece.kind, piece.payload


class AgentConnection:
    """The proxied streams of one link. See the module."""

    def __init__(self, shared: Proxied, wake: Callable[[], None]) -> None:
        self._shared = shared
        self._wake = wake
        self._streams: dict[str, OpenStream] = {}
        self.window = Window()
        self.outbox = Outbox(shared.account, self.window)

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._streams

    # --- the requirement's interface

    def send_proxy_request(self, request_id: str, request: ProxyRequest) -> None:
        """Queue a request; a small one ahead of other exchanges' bodies. Raises UnknownStreamError."""
        lane = self._stream(request_id).lane
        text = messages.encode("proxy_request", request, request_id)
        if len(text) <= _SMALL_CHARS:
            self.outbox.put_first(lane, text)
        else:
            self.outbox.put(lane, text)
        self._wake()

    async def wait_for_proxy_response(self, request_id: str) -> AnswerHead:
        """The answer's head. The caller holds the deadline.

        Raises UnknownStreamError, TunnelError when there is no answer, EndOfStream once the stream is closed.
        """
        kind, payload = await self._stream(request_id).receive()
        if kind != HEAD:
            raise RuntimeError("the head was taken already")
        return _decode_head(payload)

    def send_stream_chunk(self, request_id: str, data: bytes) -> bool:
        """Queue one encoded WebSocket message for the agent as `proxy_stream_chunk`; False: above the mark.

        Raises UnknownStreamError.
        """
        chunk = StreamChunk(data=encode_data(data), direction="to_agent")
        return self.send(request_id, self._flat("proxy_stream_chunk", request_id, chunk))

    async def read_stream_chunk(self, request_id: str) -> bytes:
        """The next bytes that came for a stream: of the body, or one encoded WebSocket message.

        Raises UnknownStreamError, `anyio.EndOfStream` after the last, and TunnelError where it was broken off.
        """
        kind, payload = await self._stream(request_id).receive()
        if kind == END:
            raise anyio.EndOfStream
        return payload

    def close_proxy_stream(self, request_id: str, reason: str = "") -> None:
        """Forget a stream, and tell an agent that has heard of it, after what was sent; idempotent."""
        stream = self._streams.get(request_id)
        if stream is None:
            return
        self.forget(request_id)
        if stream.lane.sent:
            self.outbox.put_control(self._flat("proxy_stream_close", request_id, StreamClose(reason=reason)))
            self._wake()

    # --- the carrier's side

    def open_stream(
        self,
        request_id: str,
        drained: Callable[[], None] = nothing,
        *,
        whole_bytes: int = 0,
        interval_seconds: float = 0.0,
    ) -> OpenStream:
        """A new stream. `whole_bytes`: the longest single message that must fit even where there is no disk."""
        inbox = self._shared.inbox(request_id, whole_bytes)
        stream = OpenStream(inbox, Lane(drained, interval_seconds=interval_seconds))
        self.adopt(stream)
        return stream

    def adopt(self, stream: OpenStream) -> None:
        """Take in a stream that another link has lost."""
        self._streams[stream.request_id] = stream

    def release(self, request_id: str) -> None:
        """Give a stream to another link, with its inbox; what waited to leave here is dropped. Idempotent."""
        stream = self._streams.pop(request_id, None)
        if stream is not None and not stream.keeps_lane:
            self.outbox.drop(stream.lane)

    def keep_lane(self, request_id: str) -> None:
        """What waits to leave, and what its owner still puts into the lane, leaves even after the stream's end."""
        stream = self._streams[request_id]
        stream.lane.drained = nothing
        stream.keeps_lane = True

    def forget(self, request_id: str) -> None:
        """The stream is over, on our side alone: inbox and lane are dropped. Idempotent."""
        stream = self._streams.get(request_id)
        if stream is not None:
            self.release(request_id)
            stream.inbox.close()

    def deliver(self, stream: OpenStream, kind: int, payload: bytes) -> None:
        """Put a piece into a stream's inbox. Never waits; raises OverflowedError."""
        stream.inbox.deliver(kind, payload)

    def send(self, request_id: str, text: str, *, upload_bytes: int = 0) -> bool:
        """Queue an encoded message behind the stream's others; False: above the mark. Raises UnknownStreamError."""
        welcome = self.outbox.put(self._stream(request_id).lane, text, upload_bytes=upload_bytes)
        self._wake()
        return welcome

    def send_control(self, text: str) -> None:
        """Queue a small message ahead of all streams' bodies."""
        self.outbox.put_control(text)
        self._wake()

    def close(self) -> None:
        """The link is gone: nothing leaves any more. The streams are their exchanges' to end."""
        self.outbox.clear()

    @staticmethod
    def _flat(kind: str, request_id: str, payload: msgspec.Struct) -> str:
        return msgspec.json.encode(flat(kind, request_id, payload)).decode()

    def _stream(self, request_id: str) -> OpenStream:
        try:
            return self._streams[request_id]
        except KeyError:
            raise UnknownStreamError(request_id) from None

    def __repr__(self) -> str:
        return f"<AgentConnection {len(self._streams)} streams, {self.outbox!r}>"
