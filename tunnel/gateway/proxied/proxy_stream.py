"""One exchange's stream of messages: an inbox for what its agent sends, and a lane for what leaves for the agent.

This is the requirement's ProxyStream. It knows an id, kinds of pieces and bytes; the exchange knows what they mean.
Nothing here waits except the `receive` methods, which only the exchange's own task calls.

Invariants: a stream sends on one link at a time, and keeps its inbox when its agent comes back on another one. After
`close` nothing is held; what is delivered or sent after it is dropped.
"""

from collections.abc import Callable

import anyio
import msgspec

from tunnel.errors import MessageTooLargeError, ServiceBrokeOffError, TunnelError
from tunnel.gateway.proxied.answer import AnswerHead
from tunnel.gateway.proxied.inbox import Inbox
from tunnel.gateway.proxied.lanes import Lane, Lanes, nothing
from tunnel.wire import messages
from tunnel.wire.message_limits import size_of
from tunnel.wire.proxy_messages import ProxyRequest

HEAD, DATA, END, ABORT = range(4)
"""Kinds of pieces in an inbox: the answer's head (`AnswerHead` as JSON), bytes of the body or one encoded WebSocket
message, the end in order, and the end out of order."""

_SMALL_CHARS = 64 * 1024
"""A request no longer than this leaves with the control messages: a client waits for its answer."""

_decode_head = msgspec.json.Decoder(AnswerHead).decode


def encode_head(head: AnswerHead) -> bytes:
    """A head as it waits in an inbox."""
    return msgspec.json.encode(head)


class ProxyStream:
    """The stream of one exchange."""

    __slots__ = ("_closed", "_inbox", "_keeps_lane", "_lanes", "_wake", "error", "lane", "request_id")

    def __init__(self, inbox: Inbox, lane: Lane, lanes: Lanes, wake: Callable[[], None]) -> None:
        self.request_id = inbox.request_id
        self.lane = lane
        """Ours to read; the link's `Lanes` change it."""
        self.error: TunnelError | None = None
        """What ended the stream out of order: `receive` raises it at the ABORT piece."""
        self._inbox = inbox
        self._lanes = lanes
        self._wake = wake
        self._keeps_lane = False
        self._closed = False

    @property
    def held_bytes(self) -> int:
        """Received and not yet taken by the exchange, and waiting to leave."""
        return self._inbox.held_bytes + self.lane.queued_bytes

    # --- from the agent

    def deliver(self, kind: int, payload: bytes = b"") -> None:
        """Put a piece into the inbox. Never waits. Raises OverflowedError."""
        self._inbox.deliver(kind, payload)

    async def receive(self) -> tuple[int, bytes]:
        """The next piece. Raises `error` at an ABORT piece, `anyio.EndOfStream` once closed, and OverflowedError."""
        piece = await self._inbox.receive()
        if piece.kind == ABORT:
            raise self.error or ServiceBrokeOffError("the answer was broken off")
        return piece.kind, piece.payload

    async def receive_head(self) -> AnswerHead:
        """The answer's head, which comes first. Raises what `receive` raises."""
        kind, payload = await self.receive()
        if kind != HEAD:
            raise RuntimeError("the head was taken already")
        return _decode_head(payload)

    async def receive_data(self) -> bytes:
        """The next bytes after the head. Raises `anyio.EndOfStream` after the last ones, and what `receive` raises."""
        kind, payload = await self.receive()
        if kind == END:
            raise anyio.EndOfStream
        return payload

    # --- to the agent

    def send_request(self, request: ProxyRequest) -> None:
        """Queue the request; a small one goes ahead of the bodies of other exchanges. Raises MessageTooLargeError."""
        if self._closed:
            return
        text = messages.encode("proxy_request", request, self.request_id)
        self._check_size(text)
        if len(text) <= _SMALL_CHARS:
            self._lanes.put_first(self.lane, text)
        else:
            self._lanes.put(self.lane, text)
        self._wake()

    def send(self, text: str, *, upload_bytes: int = 0) -> bool:
        """Queue an encoded message behind the earlier ones. False when the lane is now above its mark.

        Raises MessageTooLargeError for one that the agent does not accept; nothing was queued then.
        """
        if self._closed and not self._keeps_lane:
            return True
        self._check_size(text)
        welcome = self._lanes.put(self.lane, text, upload_bytes=upload_bytes)
        self._wake()
        return welcome

    def drop_unsent(self) -> None:
        """Discard what waits to leave. Idempotent."""
        self._lanes.drop(self.lane)

    def keep_lane(self) -> None:
        """Let what waits to leave, and what is still sent, leave even after `close`."""
        self.lane.drained = nothing
        self._keeps_lane = True

    # --- its life

    def move(self, lanes: Lanes, wake: Callable[[], None]) -> None:
        """Send on another link from now on. What waits on the old one is dropped."""
        if not self._keeps_lane:
            self.drop_unsent()
        self._lanes, self._wake = lanes, wake

    def close(self) -> None:
        """Release the inbox and the lane. Idempotent."""
        self._closed = True
        if not self._keeps_lane:
            self.drop_unsent()
        self._inbox.close()

    def _check_size(self, text: str) -> None:
        size, limit = size_of(text), self._lanes.limit_bytes
        if size > limit:
            raise MessageTooLargeError(f"a message of {size} bytes is larger than the {limit} that the agent accepts")

    def __repr__(self) -> str:
        return f"<ProxyStream {self.request_id}, {self._inbox!r}, {self.lane!r}>"
